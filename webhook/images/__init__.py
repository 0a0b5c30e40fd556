"""Image references: parsing, rewrite rules and resolution. Pure, and independent of Pods and Kubernetes."""
