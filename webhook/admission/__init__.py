"""From an AdmissionReview's bytes to a decision about one Pod. Pure; knows images, and neither HTTP nor a cluster."""
