# Lock files pin every dependency by hash, and each has a wheel, so nothing is compiled. Builds are reproducible.
FROM python:3.11 AS build
# The order of sets in bytecode depends on their hashes.
ARG PYTHONHASHSEED=0
WORKDIR /src
COPY requirements-build.lock requirements.lock ./
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-build.lock \
 && python3 -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip --python /opt/venv/bin/python install -q --disable-pip-version-check --require-hashes \
      --only-binary :all: --no-compile -r requirements.lock
COPY . .
RUN /opt/build/bin/python -m hatchling build -t wheel -d /wheels \
 && /opt/build/bin/pip --python /opt/venv/bin/python install -q --disable-pip-version-check --no-index --no-deps \
      --no-compile /wheels/*.whl \
 && /opt/venv/bin/python .ci/slim.py /opt/venv

FROM python:3.11-slim
ARG PYTHONHASHSEED=0
COPY --from=build /opt/venv /opt/venv
# Import every module once. The build fails if one is missing, and the part of Python's library that is used gets
# bytecode, which some base images do not have.
RUN ["/opt/venv/bin/python", "-c", "\
import importlib, pkgutil, webhook, uvloop\n\
for module in pkgutil.walk_packages(webhook.__path__, 'webhook.'): importlib.import_module(module.name)"]
# Metadata of the image; VERSION is the package's.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="registry-webhook" \
      org.opencontainers.image.description="Prefixes image names that do not specify a registry with yours, applies rewrite rules, adds the pull secret" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 REGISTRY_WEBHOOK_REVISION=$REVISION
# The user nonroot, as a number: the kubelet cannot check runAsNonRoot against a name.
USER 65532:65532
EXPOSE 8443 8080 8081
ENTRYPOINT ["registry-webhook"]
CMD ["serve"]
