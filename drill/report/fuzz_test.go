package report

import (
	"encoding/json"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

// FuzzReport writes the report of a drill whose end says anything: whatever reads is shown, in every form, and what does not is an error.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"drill":"d","outcome":"passed","start":"2026-11-21T21:00:00Z","end":"2026-11-21T21:08:00Z","measured":{"calls_placed":3,"rto_measured_s":-9e99},"timeline":{"fault_injected":"0001-01-01T00:00:01Z","steady_state":"9999-01-01T00:00:00Z"}}`))
	f.Add([]byte(`{"drill":"d","outcome":"","judgements":[{"index":-1,"word":"carries","wanted":" for ","measured":"-2562047h"}],"measured":{"detect_ms":-9223372036854775808}}`))
	f.Add([]byte(`{"drill":"d","start":"9999-12-31T23:59:59Z","end":"0001-01-01T00:00:01Z","datagrams":{"":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := New("d")
		for seq, e := range []audit.Entry{
			{Kind: audit.KindDrillRequested, Body: json.RawMessage(`{"drill":"d"}`)},
			{Kind: audit.KindDrillStarted, Body: json.RawMessage(`{"drill":"d","function":{"rto_hours":1e300}}`)},
			{Kind: audit.KindDrillEnded, Body: body},
		} {
			e.Seq = uint64(seq)
			if b.Add(e) != nil {
				return
			}
		}
		r, err := b.Report(Input{})
		if err != nil {
			return // it is about another drill
		}
		for name, write := range map[string]func() ([]byte, error){"json": r.JSON, "html": r.HTML, "pdf": r.PDF} {
			if out, err := write(); err != nil || len(out) == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
