package cordon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
)

// atDoor asks the node's HTTP interface as anna.
func atDoor(t *testing.T, n *cordon.Node, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.APIAddr().String()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer anna's token")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(text, out) != nil {
		t.Fatalf("%s %s: %d %s, %v", method, path, res.StatusCode, text, err)
	}
}

func TestOutletsTellInAPermittedPlaceAndNothingElsewhere(t *testing.T) {
	t.Setenv("T1", "anna's token")
	t.Setenv("T2", "ben's token")
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	t.Setenv("CORDON_TEST_KEY", "hush")
	for place, permitted := range map[string]bool{"127.1.0.97": true, "127.9.0.97": false} {
		t.Run(place, func(t *testing.T) {
			l, err := net.Listen("tcp", place+":0")
			if err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int32
			server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				io.WriteString(w, "taken")
			})}}
			server.Start()
			defer server.Close()
			text := strings.Replace(nodeConfig, "roles: [ciso]", "roles: [ciso, operator], scopes: [org.read]", 1) + "notify:\n"
			types := []string{"webhook", "pagerduty", "slack"}
			for _, typ := range types {
				text += fmt.Sprintf("  - {name: %s, type: %s, url: \"http://%s/\", secret: {env: CORDON_TEST_KEY}, kinds: [node.started]}\n", typ, typ, l.Addr())
			}
			n := boot(t, writeConfig(t, t.TempDir(), text))
			defer n.Stop(t.Context(), 0)
			warned := slices.ContainsFunc(n.Config().Warnings, func(p configs.Problem) bool { return p.Path == "notify[0].url" })
			if warned == permitted {
				t.Errorf("warned: %v", n.Config().Warnings)
			}
			var tried struct{ Answers []admin.OutletAnswer }
			atDoor(t, n, "POST", "/api/v1/notify/test", admin.OutletOrder{}, &tried)
			for i, typ := range types {
				if a := tried.Answers[i]; a.Outlet != typ || a.OK != permitted || (a.Answer == "200 taken") != permitted {
					t.Errorf("a test says %+v", a)
				}
			}
			if permitted {
				waitFor(t, "a notice", func() bool { return asked.Load() >= 6 }) // tests, one of them twice, and the start to two of them
				return
			}
			waitFor(t, "the refusals on record", func() bool {
				list := kinds(t, n)
				return slices.Contains(list, audit.KindNoticeUndelivered) && slices.Contains(list, audit.KindFenceRefused)
			})
			var v struct{ Outlets []admin.Outlet }
			atDoor(t, n, "GET", "/api/v1/notify", nil, &v)
			if d := v.Outlets[0].Dead; len(d) != 1 || !d[0].Fenced || d[0].Kind != "node.started" {
				t.Errorf("dead letters: %+v", v.Outlets)
			}
			atDoor(t, n, "POST", "/api/v1/notify/resend", admin.OutletOrder{Outlet: "webhook"}, &tried)
			if a := tried.Answers; len(a) != 1 || a[0].OK || a[0].Entry == nil || !slices.Contains(kinds(t, n), audit.KindNoticeResent) {
				t.Errorf("sent again: %+v", a)
			}
			if asked.Load() != 0 {
				t.Errorf("it was asked %d times", asked.Load())
			}
		})
	}
}
