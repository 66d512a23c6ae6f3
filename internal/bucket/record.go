package bucket

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// recorder is an answer as it is written. A handler that panics with http.ErrAbortHandler cuts it.
type recorder struct {
	header http.Header
	status int
	body   []byte
	cut    bool
}

func (w *recorder) Header() http.Header    { return w.header }
func (w *recorder) WriteHeader(status int) { w.status = status }
func (w *recorder) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}

// serve gives the error of a connection that ended without an answer.
func (w *recorder) serve(h http.Handler, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); {
		case p == nil:
		case p == http.ErrAbortHandler:
			if w.cut = len(w.body) > 0; !w.cut {
				err = io.ErrUnexpectedEOF
			}
		default:
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	if r.Context().Err() != nil {
		return r.Context().Err()
	}
	if n, err := strconv.Atoi(w.header.Get("Content-Length")); err == nil && r.Method != http.MethodHead && n > len(w.body) {
		w.cut = true
	}
	return nil
}

func (w *recorder) reader() io.Reader {
	if w.cut {
		return io.MultiReader(bytes.NewReader(w.body), broken{})
	}
	return bytes.NewReader(w.body)
}

// broken is the end of a connection in the middle of an answer.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the connection broke off") }
