"""registry-webhook: a Kubernetes mutating admission webhook that makes Pods pull from a private registry.

The rooms of the house, each importing only from those below it (`.importlinter` holds this, and is the picture):

    commands                          one file a command
    serving | sidecar | presentation  the HTTPS server; what keeps the pull secret; findings as text
    adapters                          files, manifests, the cluster, the registry, sources of credentials
    config                            YAML and environment, one frozen value
    inspection | policy               what was read of a cluster or a manifest, and what it means;
                                      the same rules for the API server itself
    admission                         a review and its patch
      | pullsecret | certificates     the pull secret's content and schedule; keys and certificates
    namespaces                        which of them are served
    images                            references, rules and what they resolve to
    names | moments | errors | log    the contract's names, how times and lines are written, the error tree
      | readiness                     what the sidecar says of itself
    lines | escaping                  writing that waits for nobody; escapes for what is printed

From `inspection` down the rooms are pure: values in, values out, no I/O and no clock of their own.
"""

__version__ = "0.1.0"
