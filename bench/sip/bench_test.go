package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A trace of SIPp's with two calls: the first one's INFO come in order and one comes twice, the second one's do not.
func TestOrderCountsWhatOvertook(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, m := range [][2]string{{"a", "1"}, {"a", "2"}, {"b", "2"}, {"a", "2"}, {"b", "1"}, {"a", "3"}, {"b", "3"}} {
		b.WriteString("----------------------------------------------- 2026-11-21\t12:00:00.000000\nUDP message received [300] bytes :\n\n" +
			"INFO sip:x SIP/2.0\r\nVia: v\r\nCall-ID: " + m[0] + "\r\n\r\nSignal=" + m[1] + "\r\n")
	}
	b.WriteString("----------------------------------------------- 2026-11-21\t12:00:00.000000\nUDP message sent [300] bytes :\n\nSIP/2.0 200 OK\r\nCall-ID: a\r\n")
	file := filepath.Join(t.TempDir(), "messages.log")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var c counts
	if err := c.order(file); err != nil || c.infos != 6 || c.orders != 1 {
		t.Errorf("%d INFO, %d out of order, %v; want 6 and 1", c.infos, c.orders, err)
	}
}

func TestRatiosAreOfOneRound(t *testing.T) {
	t.Parallel()
	a, k := &row{cpu: []float64{2, 9, 1}}, &row{cpu: []float64{1, 3, 2}}
	if got := a.ratios(k); !slices.Equal(got, []float64{2, 3, 0.5}) || median(got) != 2 {
		t.Errorf("%v, median %v", got, median(got))
	}
	if got := a.ratios(nil); got != nil {
		t.Errorf("ratios to nobody: %v", got)
	}
	if q := quantile([]float64{1, 2, 3, 4}, 0.5); q != 3 || quantile(nil, 0.5) != 0 {
		t.Errorf("quantile %v", q)
	}
}

func TestScenariosAndPlotAreXML(t *testing.T) {
	t.Parallel()
	p := &plan{rounds: 1, calls: 10, rate: 5}
	list, err := p.systems()
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(p, list)
	for i, w := range r.rows {
		w.s.proc, w.cpu = &process{}, []float64{float64(i + 1)}
	}
	if l := r.lines(); len(l) != len(list) || l[0].Ratio != 0.5 || l[0].CPS != 900 {
		t.Errorf("%+v", l)
	}
	for name, text := range map[string]string{
		"plot": r.plot(), "callee": callee, "patient": patient(2), "hold": hold(200), "no hold": hold(0), "infos": infos(), "storm": storm(5000, 9000, 2, 1),
	} {
		d := xml.NewDecoder(strings.NewReader(text))
		d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
		for err = nil; err == nil; {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}
