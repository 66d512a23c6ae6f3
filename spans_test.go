package cordon_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/configs"
)

func TestASpanCollectorIsToldOfCallsInAPermittedPlaceAndOfNothingElsewhere(t *testing.T) {
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	t.Setenv("CORDON_TEST_SPANS", "Bearer of spans")
	for place, permitted := range map[string]bool{"127.1.0.98": true, "127.9.0.98": false} {
		t.Run(place, func(t *testing.T) {
			l, err := net.Listen("tcp", place+":0")
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan string, 16)
			server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err == nil {
					got <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
				}
			})}}
			server.Start()
			defer server.Close()
			dir := t.TempDir()
			base := nodeConfig + "spans: {endpoint: \"http://" + l.Addr().String()
			n := boot(t, writeConfig(t, dir, base+"/v1/old\"}\n"))
			defer n.Stop(t.Context(), 0)
			warned := slices.ContainsFunc(n.Config().Warnings, func(p configs.Problem) bool { return p.Path == "spans.endpoint" })
			if warned == permitted {
				t.Errorf("warned: %v", n.Config().Warnings)
			}
			writeConfig(t, dir, base+"/v1/traces\", headers: [{name: Authorization, value: {env: CORDON_TEST_SPANS}}]}\n")
			if err := n.ReloadFile(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			signed(t, n) // another place to send to
			ref := tracedCall(t, n)
			if !permitted {
				waitFor(t, "a refusal that is counted", func() bool { return dropped(t, n, "cordon_spans_dropped_total", "fenced") > 0 })
				if len(got) > 0 {
					t.Errorf("it got %s", <-got)
				}
				return
			}
			text := ""
			waitFor(t, "a trace", func() bool {
				select {
				case text = <-got:
				default:
				}
				return text != ""
			})
			for _, want := range []string{
				"POST /v1/traces Bearer of spans {", `{"key":"cordon.call_ref","value":{"stringValue":"` + ref + `"}}`, `{"key":"cordon.route","value":{"stringValue":"in"}}`,
				`"name":"attempt"`, `{"key":"cordon.region","value":{"stringValue":"aws:eu-central-1"}}`, `{"key":"service.instance.id","value":{"stringValue":"edge-1"}}`,
			} {
				if !strings.Contains(text, want) {
					t.Errorf("no %s in %s", want, text)
				}
			}
			for _, person := range []string{"Erika", "9123456", "70123456", "p-"} {
				if strings.Contains(strings.ReplaceAll(text, ref, ""), person) {
					t.Errorf("%s stands in %s", person, text)
				}
			}
		})
	}
}
