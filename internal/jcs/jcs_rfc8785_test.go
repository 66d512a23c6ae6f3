package jcs

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
)

// RFC 8785 appendix B: IEEE 754 bits and their ECMAScript text.
func TestNumbersOfAppendixB(t *testing.T) {
	for bits, want := range map[uint64]string{
		0x0000000000000000: "0",
		0x8000000000000000: "0",
		0x0000000000000001: "5e-324",
		0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308",
		0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992",
		0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22",
		0x44b52d02c7e14af6: "1e+23",
		0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000",
		0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7",
		0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555554: "333333333.33333325",
		0x41b3de4355555555: "333333333.3333333",
		0x41b3de4355555556: "333333333.3333334",
		0x41b3de4355555557: "333333333.33333343",
		0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		f := math.Float64frombits(bits)
		if got := string(appendNumber(nil, f)); got != want {
			t.Errorf("%016x: %s, want %s", bits, got, want)
		}
		// The text must be its own canonical form, whether it came with or without an exponent.
		if got, err := Canonical([]byte(want)); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", want, got, err)
		}
		if got, err := Canonical([]byte(strconv.FormatFloat(f, 'e', 20, 64))); err != nil || string(got) != want {
			t.Errorf("%s from twenty digits: %s, %v", want, got, err)
		}
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if _, err := Marshal(f); err == nil {
			t.Errorf("%v has a canonical form", f)
		}
	}
}

// RFC 8785 sections 3.2.2 and 3.2.4: the worked example and its bytes.
func TestWorkedExample(t *testing.T) {
	in := `{
  "numbers": [333333333.33333329, 1E30, 4.50,
              2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}`
	want := `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`
	got, err := Canonical([]byte(in))
	if err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

// RFC 8785 section 3.2.3: names sort by UTF-16 code units, so an emoji (a surrogate pair) comes before U+FB33.
func TestOrderOfNames(t *testing.T) {
	in := `{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",` +
		`"\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`
	want := []string{"Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"}
	got, err := Canonical([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, w := range want {
		i := strings.Index(string(got), w)
		if i <= at {
			t.Fatalf("%q stands at %d, after %d in %s", w, i, at, got)
		}
		at = i
	}
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{` [ ] `, `[]`},
		{`{ }`, `{}`},
		{"\t[1 , 2,{ \"b\" : [ ] , \"a\":{}}]\n", `[1,2,{"a":{},"b":[]}]`},
		{`"a\/b"`, `"a/b"`},
		{`"<>&"`, `"<>&"`},
		{`"\u2028\u007f"`, "\"\u2028\u007f\""},
		{`"\b\f\n\r\t\u0000\u001F"`, `"\b\f\n\r\t\u0000\u001f"`},
		{`"\ud83d\ude00"`, `"😀"`},
		{`-0`, `0`},
		{`-0.0e5`, `0`},
		{`1.0`, `1`},
		{`1e2`, `100`},
		{`9007199254740993.0`, `9007199254740992`},
		{`{"a":1,"A":2,"":3}`, `{"":3,"A":2,"a":1}`},
	} {
		got, err := Canonical([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for in, want := range map[string]error{
		``:                          ErrSyntax,
		`{}{}`:                      ErrSyntax,
		`{"a":1,}`:                  ErrSyntax,
		`'a'`:                       ErrSyntax,
		`01`:                        ErrSyntax,
		`NaN`:                       ErrSyntax,
		`{"a":1,"b":2,"a":3}`:       ErrDuplicate,
		`{"a":1,"\u0061":3}`:        ErrDuplicate,
		`[{"x":{"a":1,"a":1}}]`:     ErrDuplicate,
		`"\ud83d"`:                  ErrString,
		`"\ud83dx"`:                 ErrString,
		`"\ud83d\n"`:                ErrString,
		`"\ude00\ud83d"`:            ErrString,
		`"\ud83d\u0041"`:            ErrString,
		`{"\udead":1}`:              ErrString,
		"\"\xff\"":                  ErrString,
		"{\"\xc3\":1}":              ErrString,
		`1e999`:                     ErrNumber,
		`-1e999`:                    ErrNumber,
		`9007199254740993`:          ErrNumber,
		`-18446744073709551615`:     ErrNumber,
		`[1,{"a":9007199254740993}`: ErrSyntax,
	} {
		if got, err := Canonical([]byte(in)); !errors.Is(err, want) || got != nil {
			t.Errorf("%s: %s, %v; want %v", in, got, err, want)
		}
	}
}

func TestMarshal(t *testing.T) {
	v := struct {
		Z string         `json:"z"`
		A map[string]any `json:"a"`
		N uint64         `json:"n"`
		O *int           `json:"o,omitempty"`
	}{"<é>", map[string]any{"b": []int{2, 1}, "a": 1.50}, 1 << 53, nil}
	got, err := Marshal(v)
	if want := `{"a":{"a":1.5,"b":[2,1]},"n":9007199254740992,"z":"<é>"}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if _, err := Marshal(func() {}); err == nil {
		t.Error("a function has a canonical form")
	}
	if _, err := Marshal(uint64(1<<53 + 1)); !errors.Is(err, ErrNumber) {
		t.Errorf("a number that would be rounded: %v", err)
	}
}
