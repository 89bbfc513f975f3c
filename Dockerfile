# A static binary in an empty image, for amd64 and arm64:
#
#   docker build --build-arg REVISION="$(git rev-parse --short=12 HEAD)" -t defender-scan-exporter .
#   docker buildx build --platform linux/amd64,linux/arm64 …
#
# The compiler always runs on the machine's own architecture; .cargo/config.toml lets it build for the other.

FROM --platform=$BUILDPLATFORM rust:1.95.0-slim-bookworm AS build
WORKDIR /build
# Versions of Debian's packages vanish from its mirrors with each update: they cannot be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates clang \
    && rm -rf /var/lib/apt/lists/*
ARG TARGETARCH
RUN case "$TARGETARCH" in \
        amd64) echo x86_64-unknown-linux-musl ;; \
        arm64) echo aarch64-unknown-linux-musl ;; \
        *) echo "expected amd64 or arm64, but found $TARGETARCH" >&2; exit 1 ;; \
    esac > /target \
    && rustup target add "$(cat /target)"

# The dependencies and crates are a layer of their own, which lasts until one of these files changes.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock build.rs ./
COPY crates crates
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --locked --profile dist --target "$(cat /target)"

COPY src src
ARG REVISION=unknown
# Newer than what was built in their place.
RUN touch src/main.rs src/lib.rs \
    && DEFENDER_EXPORTER_REVISION="$REVISION" cargo build --locked --profile dist --target "$(cat /target)" \
    && cp "target/$(cat /target)/dist/defender-scan-exporter" / \
    && mkdir -p /image/data \
    && chmod 770 /image/data

FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="defender-scan-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the authenticated scans of Microsoft Defender for Endpoint" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /defender-scan-exporter /defender-scan-exporter
# /data, of group 0, as which OpenShift runs a user of its own choice. It is copied with the folder
# that holds it: buildah gives a folder that it copies by itself other permissions.
COPY --from=build --chown=65532:0 /image /
USER 65532:65532
# There is no /tmp, and all but /data may be read-only; the demo wants a temporary folder.
# In a container, loopback is of use to nobody, not even to the demo.
ENV DEFENDER_EXPORTER_STORAGE_PATH=/data \
    DEFENDER_EXPORTER_WEB_LISTEN_ADDRESS=:10063 \
    TMPDIR=/data
VOLUME ["/data"]
EXPOSE 10063
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s \
    CMD ["/defender-scan-exporter", "healthcheck"]
ENTRYPOINT ["/defender-scan-exporter"]
CMD ["--config.file=/etc/defender-scan-exporter/exporter.yml"]
