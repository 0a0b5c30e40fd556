"""The pull secret: what goes into it, what kubelet makes of it, when it is due. Values in, values out."""
