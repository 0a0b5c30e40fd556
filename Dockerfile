# One Dockerfile for all architectures; nothing of the target's architecture is executed. Lock files pin every dependency
# by hash, and each has a wheel, so nothing is compiled. Builds are reproducible.

# The builder has pip. Both have the same minor version of Python, at the same path.
ARG BUILDER=python:3.11
ARG BASE=python:3.11-slim

FROM ${BASE} AS base

FROM --platform=$BUILDPLATFORM ${BUILDER} AS build
ARG TARGETARCH
COPY . /src
# The order of sets in bytecode depends on their hashes.
RUN --mount=type=bind,from=base,target=/base \
    export PYTHONHASHSEED=0 PIP_DISABLE_PIP_VERSION_CHECK=1 && cd /src && mkdir /image \
 && python3 -m venv /opt/build && python3 -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip install -q --require-hashes -r requirements-build.lock \
 && /opt/build/bin/python .ci/wheels.py install "$TARGETARCH" /opt/venv \
 && /opt/build/bin/python -m hatchling build -t wheel -d /wheels \
 && /opt/build/bin/pip --python /opt/venv/bin/python install -q --no-index --no-deps --no-compile /wheels/*.whl \
 && /opt/venv/bin/python .ci/slim.py /opt/venv \
 && /opt/venv/bin/python .ci/image_root.py /base /opt/venv /image

FROM scratch
# Metadata of the image. VERSION is the package's; the rest is known to who builds a release.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
ARG BASE_NAME=docker.io/library/python:3.11-slim
ARG BASE_DIGEST=unknown
LABEL org.opencontainers.image.title="registry-webhook" \
      org.opencontainers.image.description="Prefixes image names that do not specify a registry with yours, applies rewrite rules, adds the pull secret" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.base.name="$BASE_NAME" \
      org.opencontainers.image.base.digest="$BASE_DIGEST"
# /usr/local/bin is for credential helpers.
ENV PATH=/opt/venv/bin:/usr/local/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1 REGISTRY_WEBHOOK_REVISION=$REVISION
# The user nonroot, as a number: the kubelet cannot check runAsNonRoot against a name.
USER 65532:65532
EXPOSE 8443 8080 8081
ENTRYPOINT ["registry-webhook"]
CMD ["serve"]
COPY --from=build /image /
