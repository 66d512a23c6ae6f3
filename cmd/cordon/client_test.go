package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A redirect is not followed, and what was asked for was not done: it must not look as if it was.
func TestARedirectIsNoSuccess(t *testing.T) {
	s := httptest.NewServer(http.RedirectHandler("https://elsewhere.invalid/", http.StatusFound))
	defer s.Close()
	t.Setenv("CORDON_TOKEN", "a token that goes nowhere else")
	if code, out, errs := run(t, "forget", "call", "20261121-a40e70d2eb39c57fb58cd834396fd1c7", "--reason=erasure request 17", "--api="+s.URL); code == 0 {
		t.Errorf("%s%s", out, errs)
	}
}
