# The build stage has a compiler, for gunicorn_h1c. All that it installs stands in a lock file with its hash.
FROM python:3.11 AS build
WORKDIR /src
COPY requirements-build.lock requirements-fast.lock ./
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-build.lock \
 && /opt/build/bin/pip wheel -q --disable-pip-version-check --no-build-isolation --require-hashes \
      -r requirements-fast.lock -w /wheels
COPY . .
RUN /opt/build/bin/python -m hatchling build -t wheel -d /wheels \
 && python3 -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip --python /opt/venv/bin/python install -q --disable-pip-version-check --no-index --no-deps /wheels/*.whl

FROM python:3.11-slim
LABEL org.opencontainers.image.title="registry-webhook" \
      org.opencontainers.image.description="Makes the Pods of opted-in namespaces pull from a private registry" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
# nobody's number: no name is needed, and runAsNonRoot can see that it is not root
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["registry-webhook"]
CMD ["serve"]
