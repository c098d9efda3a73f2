# syntax=docker/dockerfile:1
# The image of Tidegate: one binary on a base without shell or package manager, as a user without rights.
#
#   docker build --tag REGISTRY/tidegate:0.1.0 .
#   docker build --target with-shell --tag REGISTRY/tidegate:0.1.0-shell .   for discovery plugins that are scripts
#
# Base images are pinned by version where they have one. For a release pin them by digest as well, so that the same commit builds the
# same image for ever: `docker buildx imagetools inspect IMAGE` prints it, and IMAGE@sha256:… goes into --build-arg.
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot
ARG SHELL_IMAGE=docker.io/library/debian:12.12-slim

FROM ${BUILD_IMAGE} AS build
# g++ and make: the C parts of aws-lc and PCRE2. setcap: see below.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates g++ make libcap2-bin \
    && rm -rf /var/lib/apt/lists/*
# The toolchain of the image is the pinned one: rustup has nothing to fetch.
ENV RUSTUP_TOOLCHAIN=1.95.0
# PCRE2 goes into the binary: the base below has no library of it.
ENV PCRE2_SYS_STATIC=1
WORKDIR /src
COPY . .
# The caches survive between builds on one machine; the binary is copied out because they are not part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package tidegate && install -D target/release/tidegate /out/usr/bin/tidegate
# A process that does not run as root gets a capability of its container only through the file it executes. With
# this one it may listen on ports below 1024 as soon as the pod grants NET_BIND_SERVICE.
RUN setcap cap_net_bind_service=+ep /out/usr/bin/tidegate

# For plugins and `program` monitors that are shell scripts: the same binary beside a shell.
FROM ${SHELL_IMAGE} AS with-shell
COPY --from=build /out/ /
# The authorities that `strict_verify` and rules trust; the other base brings its own.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER 65532:65532
ENTRYPOINT ["/usr/bin/tidegate"]
CMD ["run"]

FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=build /out/ /
USER 65532:65532
# Health is asked by the orchestrator on /livez and /readyz.
ENTRYPOINT ["/usr/bin/tidegate"]
CMD ["run"]
