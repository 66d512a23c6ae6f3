package admin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// An answer that reads the log of a long outage is not cut off by the server's time for answers.
func TestAnAnswerOfALongOutageMayTakeLong(t *testing.T) {
	for patience, want := range map[bool]string{true: "figures", false: ""} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if patience {
				patient(w)
			}
			_, _ = io.WriteString(w, "figures")
		}))
		s.Config.WriteTimeout = time.Nanosecond
		s.Start()
		got := ""
		if res, err := s.Client().Get(s.URL); err == nil {
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			got = string(text)
		}
		s.Close()
		if got != want {
			t.Errorf("patient %v: %q", patience, got)
		}
	}
}
