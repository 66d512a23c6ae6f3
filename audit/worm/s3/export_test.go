package s3

import (
	"net/http"
	"time"
)

// Resign signs a request once more, and gives the header.
func Resign(r *http.Request, access, secret, region, digest string, at time.Time) string {
	credentials{access, secret}.sign(r, region, digest, at)
	return r.Header.Get("Authorization")
}
