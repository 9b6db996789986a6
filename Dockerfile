# Where images cannot be pulled from Docker Hub, or modules from the Go proxy, name others:
#   docker build --build-arg BUILD_IMAGE=registry.example/golang:1.26-bookworm --build-arg GOPROXY=https://goproxy.example .
ARG BUILD_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
ARG GOPROXY=https://proxy.golang.org,direct
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
ARG REVISION=unknown
ARG BRANCH=unknown
ARG DATE=unknown
RUN make build VERSION="$VERSION" REVISION="$REVISION" BRANCH="$BRANCH" DATE="$DATE"
RUN mkdir -p /empty

FROM ${BASE_IMAGE}
ARG VERSION=devel
ARG REVISION=unknown
LABEL org.opencontainers.image.title="weixin_exporter" \
      org.opencontainers.image.description="Prometheus exporter for the interface statistics of Weixin Official Accounts" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/build/weixin_exporter /bin/weixin_exporter
# The folder of the store, the only one that the program writes to. Those above it belong to root: some builders give
# the folders that they create to the owner of what they copy.
COPY --from=build /empty /var/lib
COPY --from=build --chown=65532:65532 /empty /var/lib/weixin_exporter
USER 65532:65532
WORKDIR /var/lib/weixin_exporter
VOLUME /var/lib/weixin_exporter
EXPOSE 9988
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s CMD ["/bin/weixin_exporter", "healthcheck"]
ENTRYPOINT ["/bin/weixin_exporter"]
CMD ["--config.file=/etc/weixin_exporter/config.yml"]
