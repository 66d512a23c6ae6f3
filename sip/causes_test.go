package sip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestCausesAreSortedByWhoLooksAtThem(t *testing.T) {
	for word, want := range map[string]string{
		"200": "answered", "202": "answered", "302": "redirect", "400": "protocol", "403": "rejected", "404": "number", "408": "no_answer", "480": "no_answer", "486": "busy",
		"487": "cancelled", "488": "media", "500": "server", "503": "overload", "504": "server", "600": "busy", "603": "rejected", "604": "number", "606": "media",
		"silent": "unreachable", "icmp": "unreachable", "lost": "unreachable", "refused": "unreachable", "fenced": "policy", "media_488": "local", "cancelled": "cancelled",
	} {
		if got := classOf(word); got != want {
			t.Errorf("classOf(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestExemplarsNameACallByItsReference(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := newCauseMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	m.ended([]*Party{{Name: "carrier"}, {Name: "fra"}}, "answered", "c-1", 300*time.Millisecond)
	m.ended([]*Party{{Name: "carrier"}, {Name: "carrier"}}, "answered", "c-2", 0) // in the same moment: counted, and no exemplar
	m.failed("fra", "503", "c-3")
	m.failed("fra", "200", "c-4")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, x := range f.GetMetric() {
			row := f.GetName()
			for _, l := range x.GetLabel() {
				row += " " + l.GetValue()
			}
			if c := x.GetCounter(); c != nil {
				got = append(got, fmt.Sprint(row, " ", c.GetValue(), " ", c.GetExemplar().GetLabel()[0].GetValue()))
			}
			for _, b := range x.GetHistogram().GetBucket() {
				if e := b.GetExemplar(); e != nil {
					got = append(got, fmt.Sprint(row, " ", x.GetHistogram().GetSampleCount(), " ", e.GetLabel()[0].GetName(), "=", e.GetLabel()[0].GetValue()))
				}
			}
		}
	}
	want := []string{
		"cordon_sip_party_calls_total answered carrier 2 c-1", "cordon_sip_party_calls_total answered fra 1 c-1", "cordon_sip_party_failures_total overload fra 1 c-3",
		"cordon_sip_party_setup_seconds carrier 1 call_ref=c-1", "cordon_sip_party_setup_seconds fra 1 call_ref=c-1",
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
