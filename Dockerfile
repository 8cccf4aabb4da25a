# The images of Sluice, and one to look at it. Any OCI builder makes them, for the architecture of this
# machine or, by cross-compiling, for the one that --platform names:
#
#   docker build --target controller -t sluice-controller:dev --build-arg VERSION="$(git describe --tags --always)" .
#   docker build --target proxy      -t sluice-proxy:dev      --build-arg VERSION="$(git describe --tags --always)" .
#   docker build --target ctl        -t sluice-ctl:dev        --build-arg VERSION="$(git describe --tags --always)" .
#   buildah bud --isolation chroot --target proxy -t sluice-proxy:dev .
#   docker build --target demo -t sluice-demo . && docker run --rm -p 8080:8080 sluice-demo
#
# An image of the first three holds one program, the shared libraries that it needs and what .ci/image-root lists beside
# them: no shell, no package manager, nothing that is written to. It runs as user 65532.
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS deps
WORKDIR /src
COPY .ci/deps .ci/
ARG TARGETARCH
RUN .ci/deps --cross "$TARGETARCH" && rm -rf /var/lib/apt/lists/*

FROM deps AS build
COPY . .
ARG TARGETARCH
ARG VERSION=unknown
RUN set -eu; cross=$(.ci/deps --prefix "$TARGETARCH"); \
    built=build/${cross}release; \
    make -j"$(nproc)" CROSS="$cross" VERSION="$VERSION" "$built/sluice-controller" "$built/sluice-proxy"; \
    for program in controller proxy; do \
        CROSS=$cross .ci/image-root "$built/sluice-$program" "$VERSION" "/root/$program"; \
    done

# sluicectl is in an image of its own, made when it is asked for.
FROM build AS ctl-build
ARG TARGETARCH
ARG VERSION=unknown
RUN set -eu; cross=$(.ci/deps --prefix "$TARGETARCH"); \
    built=build/${cross}release; \
    make -j"$(nproc)" CROSS="$cross" VERSION="$VERSION" "$built/sluicectl"; \
    CROSS=$cross .ci/image-root "$built/sluicectl" "$VERSION" /root/ctl

FROM scratch AS common
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Sluice" \
      dev.sluice.sbom="/usr/share/sluice/sbom.spdx.json"
USER 65532:65532

# The version comes last: some builders keep a layer although an argument in it has changed.
FROM common AS controller
COPY --from=build /root/controller /
EXPOSE 7400 7401
ENTRYPOINT ["/usr/bin/sluice-controller"]
ARG VERSION=unknown
LABEL org.opencontainers.image.title="sluice-controller" \
      org.opencontainers.image.description="Compiles Ingress and Route objects and pushes them to the proxies" \
      org.opencontainers.image.version="$VERSION"

FROM common AS proxy
COPY --from=build /root/proxy /
EXPOSE 8080 8443 7501
ENTRYPOINT ["/usr/bin/sluice-proxy"]
ARG VERSION=unknown
LABEL org.opencontainers.image.title="sluice-proxy" \
      org.opencontainers.image.description="Ingress gateway: routes every request" \
      org.opencontainers.image.version="$VERSION"

# For the load test of the chart, and wherever sluicectl is wanted as an image.
FROM common AS ctl
COPY --from=ctl-build /root/ctl /
ENTRYPOINT ["/usr/bin/sluicectl"]
ARG VERSION=unknown
LABEL org.opencontainers.image.title="sluice-ctl" \
      org.opencontainers.image.description="sluicectl: what Sluice serves, and why; load tests" \
      org.opencontainers.image.version="$VERSION"

# The quickstart in one container: controller, proxy, two backends and sluicectl, started and ended by a shell
# script, as `make run` does. Not for production.
FROM build AS demo-build
ARG TARGETARCH
ARG VERSION=unknown
RUN set -eu; cross=$(.ci/deps --prefix "$TARGETARCH"); \
    built=build/${cross}release; \
    make -j"$(nproc)" CROSS="$cross" VERSION="$VERSION" CFLAGS_release=-O1 LTO_release=-fno-lto "$built/sluicectl" "$built/tests/tools/origin"; \
    for program in sluicectl tests/tools/origin; do \
        CROSS=$cross .ci/image-root "$built/$program" "$VERSION" "/root/${program##*/}"; \
    done; \
    mkdir /root/demo; \
    for part in controller proxy sluicectl origin; do cp -a "/root/$part/usr" /root/demo/; done; \
    rm -r /root/demo/usr/share/sluice

FROM debian:bookworm-slim AS demo
COPY --from=demo-build /root/demo/usr /usr
COPY examples/quickstart /demo
USER 65532:65532
ENV BIND=0.0.0.0 INSIDE="docker exec CONTAINER "
EXPOSE 8080
ENTRYPOINT ["/demo/run", "/usr/bin"]
