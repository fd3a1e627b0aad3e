# mrgate in a small image, statically linked, not as root: for the listener, and for
# jobs (GitLab's runner needs a shell in an image, hence busybox).
#
#   docker build -t registry.example.com/tools/mrgate .
#   docker run --read-only -v mrgate:/data -v "$PWD/mrgate.yaml:/etc/mrgate.yaml:ro" -e MRGATE_CONFIG=/etc/mrgate.yaml \
#     -e MRGATE_DB=/data/mrgate.db --env-file secrets.env registry.example.com/tools/mrgate serve-callback
#
# Where webhooks or clicks come by HTTP, add -p 8080:8080.
FROM golang:1.26-alpine AS build
RUN apk add --no-cache gcc musl-dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# SQLite is C: linked statically, so that the image needs no libc.
RUN CGO_ENABLED=1 go build -trimpath -ldflags '-s -w -linkmode external -extldflags "-static"' -tags 'osusergo netgo sqlite_omit_load_extension' -o /mrgate ./cmd/mrgate \
 && mkdir /data

FROM busybox:1.37-musl
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build /mrgate /usr/local/bin/mrgate
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/mrgate"]
