"""Decisions on AdmissionReviews, from the encoded request to the encoded response. Pure: no HTTP and no cluster."""
