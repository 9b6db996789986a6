FROM golang:1.26-bookworm AS build
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

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/build/weixin_exporter /bin/weixin_exporter
# Where the store lies: the only folder that the program writes to.
COPY --from=build --chown=65532:65532 /empty /var/lib/weixin_exporter
USER 65532:65532
WORKDIR /var/lib/weixin_exporter
VOLUME /var/lib/weixin_exporter
EXPOSE 9988
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s CMD ["/bin/weixin_exporter", "healthcheck"]
ENTRYPOINT ["/bin/weixin_exporter"]
CMD ["--config.file=/etc/weixin_exporter/config.yml"]
