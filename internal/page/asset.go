package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed asset
var assets embed.FS

// Assets gives the files that every page uses, by the patterns of http.ServeMux
// under which they are mounted: "GET /page/style.css" and others.
func Assets() map[string]http.Handler {
	routes := make(map[string]http.Handler)
	for name, kind := range map[string]string{
		"style.css": "text/css; charset=utf-8",
		"live.js":   "text/javascript; charset=utf-8",
		"mark.svg":  "image/svg+xml",
	} {
		body := asset(name)
		version := versionOf(body)
		routes["GET /page/"+name] = Headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("ETag", `"`+version+`"`)
			w.Header().Set("Cache-Control", "no-cache")
			if r.URL.Query().Get("v") == version { // another content has another address
				w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
			}
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
		}))
	}
	return routes
}

// AssetURL is the address of one of the files of [Assets], by its name. A file
// with another content has another address, so browsers may keep it for good.
func AssetURL(name string) string {
	return path.Join("/page", name) + "?v=" + versionOf(asset(name))
}

func asset(name string) []byte {
	body, err := assets.ReadFile("asset/" + name)
	if err != nil {
		panic(err) // a template names a file that does not exist
	}
	return body
}

func versionOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:6])
}
