package audit

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

var (
	oddTexts  = []string{"", "plain", "sip:a@b;c=1", `"quoted\"`, "a<b>&c", "line\nfeed\t\b\f\x00\x1f\x7f", "Zürich", "\u2028\u2029", "\xff\xfe bad"}
	oddFloats = []float64{0, math.Copysign(0, -1), 1, -1.5, 1e-6, 9.9e-7, 1.25e-9, 1e-10, 1e20, 1e21, 1e22, -1e100, 0.1, 12.375, math.MaxFloat64, math.SmallestNonzeroFloat64}
	oddTimes  = []time.Time{{}, time.Unix(0, 0).UTC(), time.Date(2026, 11, 21, 1, 2, 3, 4, time.UTC), time.Date(2026, 11, 21, 1, 2, 3, 120e6, time.FixedZone("", 3600))}
)

// odd fills a value by chance: every field, also one that is new, with what is hard to write among it.
func odd(r *rand.Rand, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(oddTimes[r.IntN(len(oddTimes))]))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(oddTexts[r.IntN(len(oddTexts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(r.IntN(3)-1) * r.Int64())
	case reflect.Uint64:
		v.SetUint(uint64(r.IntN(2)) * r.Uint64())
	case reflect.Float64:
		v.SetFloat(oddFloats[r.IntN(len(oddFloats))])
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			odd(r, v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n < 3 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				odd(r, v.Index(i))
			}
		}
	case reflect.Map:
		if r.IntN(3) > 0 {
			v.Set(reflect.ValueOf(map[string]uint64{"DE": r.Uint64(), "CH": 0, oddTexts[r.IntN(len(oddTexts))]: 7}))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			odd(r, v.Field(i))
		}
	default:
		panic("no value for " + v.Type().String())
	}
}

// TestText holds that what is written by hand is what encoding/json writes, to the byte, for every field.
func TestText(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		var ended CallEnded
		var rec Receipt
		odd(r, reflect.ValueOf(&ended).Elem())
		odd(r, reflect.ValueOf(&rec).Elem())
		for _, ev := range []texter{&ended, &rec} {
			var got text
			ev.text(&got)
			want, err := json.Marshal(ev)
			if err != nil || got.err != nil {
				t.Fatalf("round %d: %v, %v", round, err, got.err)
			}
			if string(got.b) != string(want) {
				t.Fatalf("round %d:\n got %s\nwant %s", round, got.b, want)
			}
		}
		e := Entry{Body: json.RawMessage("{}"), ID: "x", Kind: Kind(oddTexts[r.IntN(len(oddTexts))]), Gap: r.IntN(2) == 0, Generation: r.Uint64()}
		for _, f := range []any{&e.Tenant, &e.Node, &e.Software, &e.PolicyDigest, &e.FactsDigest, &e.Time, &e.Clock} {
			odd(r, reflect.ValueOf(f).Elem())
		}
		var got text
		var stamped text
		e.stampText(&stamped)
		e.text(&got, string(stamped.b))
		want, err := json.Marshal(e)
		if err != nil || got.err != nil || string(got.b)+"{}}" != string(want) {
			t.Fatalf("round %d: %v, %v\n got %s{}}\nwant %s", round, err, got.err, got.b, want)
		}
	}
}

// TestTextCannot holds that what JSON has no word for is an error by hand, too.
func TestTextCannot(t *testing.T) {
	t.Parallel()
	for _, ev := range []texter{
		&CallEnded{SetupMS: math.NaN()},
		&CallEnded{TalkMS: math.Inf(-1)},
		&Receipt{TEnd: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		&Receipt{Hops: []ReceiptHop{{RTTMinMS: math.Inf(1)}}},
	} {
		var got text
		ev.text(&got)
		if _, err := json.Marshal(ev); err == nil || got.err == nil {
			t.Errorf("%+v: %v by hand, %v by encoding/json", ev, got.err, err)
		}
	}
}

// TestOlderQuality holds that records from before windows were rated read, and are written, as they were.
func TestOlderQuality(t *testing.T) {
	t.Parallel()
	const old = `{"call_ref":"c","trunk_id":"t","edge_group_id":"g","route":"r","sip_final":200,"ended_by":"a","attempts":1,"setup_ms":1,"talk_ms":2}`
	const leg = `{"leg":"a","packets":3000,"lost":-1,"jitter_ms":1.5,"mos":4.3}`
	var ended CallEnded
	var q LegQuality
	if err := errors.Join(json.Unmarshal([]byte(old), &ended), json.Unmarshal([]byte(leg), &q)); err != nil {
		t.Fatal(err)
	}
	var a, b text
	ended.text(&a)
	qualityText(&b, &q)
	if string(a.b) != old || string(b.b) != leg {
		t.Errorf("\n%s\n%s", a.b, b.b)
	}
}
