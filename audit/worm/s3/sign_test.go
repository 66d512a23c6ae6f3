package s3

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The examples of the Signature Version 4 documentation of S3, "Authenticating Requests: Using the Authorization Header".
func TestSignaturesOfTheDocumentation(t *testing.T) {
	by := credentials{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	now := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		method, url, body, want string
		header                  http.Header
	}{
		{"GET", "/test.txt", "", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", http.Header{"Range": {"bytes=0-9"}}},
		{
			"PUT", "/test$file.text", "Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
			http.Header{"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}},
		},
		{"GET", "/?lifecycle", "", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", nil},
		{"GET", "/?max-keys=2&prefix=J", "", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", nil},
	} {
		r, err := http.NewRequest(c.method, "https://examplebucket.s3.amazonaws.com"+c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != nil {
			r.Header = c.header
		}
		by.sign(r, "us-east-1", hexSum([]byte(c.body)), now)
		if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+c.want) {
			t.Errorf("%s %s: %s", c.method, c.url, got)
		}
	}
}

func TestEscapes(t *testing.T) {
	for in, want := range map[string]string{"/a b/ü~+": "/a%20b/%C3%BC~%2B", "/x.p/17": "/x.p/17", "/a=b:c": "/a%3Db%3Ac"} {
		if got := escapePath(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}
