package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sip/trace"
)

// fakeTracer remembers one call.
type fakeTracer struct {
	slow  time.Duration // of the log
	told  []audit.TraceRead
	by    []string
	err   error
	media error
}

func (f *fakeTracer) Find(key string, since int) (trace.Trace, bool) {
	t := trace.Trace{ID: "s1", Ref: "ref-1", Masked: true, Events: []trace.Event{{
		Seq: 1, Kind: "message", Proto: "udp", Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("192.0.2.2:5060"), Text: "INVITE",
	}}}
	t.Events = t.Events[min(since, 1):]
	return t, key == "ref-1"
}

func (f *fakeTracer) Media(_ context.Context, id string, d time.Duration) ([]trace.RTP, error) {
	time.Sleep(d)
	at := netip.MustParseAddrPort("192.0.2.1:4000")
	return []trace.RTP{{At: time.Now(), From: at, To: at, Header: []byte(id + "-123456789")[:12], Size: 172}}, f.media
}

func (f *fakeTracer) Told(_ context.Context, r audit.TraceRead, by string) error {
	time.Sleep(f.slow)
	if f.err == nil {
		f.told, f.by = append(f.told, r), append(f.by, by)
	}
	return f.err
}

func TestWhoLooksAtACallIsLoggedBeforeTheySee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, f := open(t), &fakeTracer{}
		d.c.Tracer = f
		const path = "/api/v1/calls/ref-1/trace"
		f.err = errors.New("the log is down")
		if w := d.ask("GET", path, "r", ""); w.Code < 500 || strings.Contains(w.Body.String(), "INVITE") {
			t.Errorf("without a record: %d %s", w.Code, w.Body)
		}
		f.err = nil
		w := d.ask("GET", path, "r", "")
		var got trace.Trace
		if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != 200 || err != nil || len(got.Events) != 1 || got.Events[0].Text != "INVITE" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		d.ask("GET", path+"?since=1", "r", "") // the same reading goes on
		if len(f.told) != 1 || f.told[0] != (audit.TraceRead{CallRef: "ref-1", Form: "ladder", Masked: true}) || f.by[0] != "reader" {
			t.Errorf("told: %+v by %v", f.told, f.by)
		}
		time.Sleep(toldFor)
		d.ask("GET", path, "r", "")
		d.ask("GET", path+"?format=pcap", "r", "")
		if len(f.told) != 3 || f.told[2].Form != "capture" {
			t.Errorf("told: %+v", f.told)
		}
		if w := d.ask("GET", path, "b", ""); w.Code != 403 { // org.read and three roles, but not this scope
			t.Errorf("without the scope: %d", w.Code)
		}
	})
}

// Who asks twice at once sees nothing either before the log has it.
func TestNobodySeesACallWhileTheLogIsStillToldOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.c.Tracer = &fakeTracer{slow: time.Second, err: errors.New("the log is down")}
		var both sync.WaitGroup
		for i := range 2 {
			both.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				if w := d.ask("GET", "/api/v1/calls/ref-1/trace", "r", ""); w.Code < 500 || strings.Contains(w.Body.String(), "INVITE") {
					t.Errorf("request %d, without a record: %d %s", i, w.Code, w.Body)
				}
			})
		}
		both.Wait()
	})
}

func TestACaptureHasHeadersOfMediaAndNeverContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, f := open(t), &fakeTracer{}
		d.c.Tracer = f
		began := time.Now()
		w := d.ask("GET", "/api/v1/calls/ref-1/trace?format=pcap&media=30s", "r", "")
		if w.Code != 200 || time.Since(began) != 30*time.Second || w.Body.Len() != 24+16+34+16+40 || !strings.Contains(w.Body.String(), "s1-123456789") {
			t.Errorf("%d after %s: %d bytes", w.Code, time.Since(began), w.Body.Len())
		}
		if n := len(f.told); n != 1 || f.told[0].Media != 30 {
			t.Errorf("told: %+v", f.told)
		}
		for query, code := range map[string]int{
			"?content=true": 403, "?format=pcap&content=true": 403, "?format=wav": 400, "?media=30s": 400, "?format=pcap&media=46s": 400, "?format=pcap&media=soon": 400, "?since=x": 400, "?since=-1": 400,
		} {
			if w := d.ask("GET", "/api/v1/calls/ref-1/trace"+query, "r", ""); w.Code != code || strings.Contains(w.Body.String(), "INVITE") {
				t.Errorf("%s: %d %s", query, w.Code, w.Body)
			}
		}
		if w := d.ask("GET", "/api/v1/calls/other/trace", "r", ""); w.Code != 404 {
			t.Errorf("another call: %d", w.Code)
		}
		f.media = ErrNoMedia
		if w := d.ask("GET", "/api/v1/calls/ref-1/trace?format=pcap&media=1s", "r", ""); w.Code != 409 {
			t.Errorf("a call without media: %d", w.Code)
		}
	})
}

func TestMetricsSpeakOpenMetricsToWhoAsksForIt(t *testing.T) {
	d := open(t)
	w := d.ask("GET", "/metrics", "r", "")
	if w.Code != 200 || strings.Contains(w.Header().Get("Content-Type"), "openmetrics") {
		t.Errorf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	d.accept = "application/openmetrics-text; version=1.0.0"
	if w := d.ask("GET", "/metrics", "r", ""); !strings.Contains(w.Header().Get("Content-Type"), "openmetrics") || !strings.HasSuffix(w.Body.String(), "# EOF\n") {
		t.Errorf("%s", w.Header().Get("Content-Type"))
	}
}
