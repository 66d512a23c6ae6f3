package strict

import (
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

type file struct {
	Name  string            `yaml:"name"`
	Wait  Duration          `yaml:"wait,omitempty"`
	Share Percent           `yaml:"share,omitempty"`
	Parts []part            `yaml:"parts,omitempty"`
	Words map[string]string `yaml:"words,omitempty"`
}

type part struct {
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
}

func TestEachMistakeIsNamedWhereItStands(t *testing.T) {
	hide := Form{
		Empty: "write something", Spoken: []string{"said by us"},
		Quiet:   func(*yaml.Node) map[int]bool { return map[int]bool{2: true} },
		Private: func(path string) bool { return strings.HasPrefix(path, "parts") },
	}
	for name, c := range map[string]struct {
		text string
		form Form
		want []string // each is in the problem of the same number
	}{
		"nothing":                  {"", hide, []string{"a.yaml: the file is empty\n    hint: write something"}},
		"no YAML":                  {"name: [", Form{}, []string{"a.yaml:1: "}},
		"unknown key":              {"nmae: x", Form{}, []string{`a.yaml:1: nmae: unknown key` + "\n" + `    hint: did you mean "name"?`}},
		"far from any key":         {"zzzzzzzzzzzz: x", Form{}, []string{"known keys here: name, wait, share, parts, words"}},
		"what is not there yet":    {"name: x\ncluster: {size: 3}", Form{Absent: map[string]string{"cluster": "a cluster"}}, []string{"a.yaml:2: cluster: needs a cluster, and this version has none"}},
		"key twice":                {"name: x\nname: y", Form{}, []string{"a.yaml:2: name: the key stands twice", "a.yaml:2: "}},
		"alias":                    {"name: &a x\nwords: {b: *a}", Form{}, []string{"a.yaml:1: name: anchors and aliases", "a.yaml:2: words.b: anchors and aliases"}},
		"no such anchor":           {"name: *a", Form{}, []string{"an alias stands for an anchor that is not there"}},
		"bare number":              {"wait: 4", Form{}, []string{`a.yaml:1: "4" is no duration`}},
		"negative":                 {"wait: -4s", Form{}, []string{`"-4s" is no duration`}},
		"bare share":               {"share: 0.5", Form{}, []string{`a.yaml:1: "0.5" is no share`}},
		"more than all":            {"share: 101%", Form{}, []string{`"101%" is no share`}},
		"no number":                {"share: NaN%", Form{}, []string{`"NaN%" is no share`}},
		"a list where a word is":   {"name: [a]", Form{}, []string{"a list stands where this belongs: string"}},
		"wrong type":               {"parts: [{port: many}]", Form{}, []string{"cannot use `many` as int"}},
		"a word for a mapping":     {"parts: [hunter2]", Form{}, []string{"cannot be used as strict.part"}},
		"quiet line":               {"name: x\nwait: hunter2", hide, []string{"a.yaml:2: what stands here cannot be used"}},
		"private keys":             {"name: x\nparts:\n  - {hunter2: x}", hide, []string{"a.yaml:3: parts[0]: unknown key"}},
		"two mistakes, both shown": {"nmae: x\nwait: 4", Form{}, []string{"a.yaml:1:", "a.yaml:2:"}},
	} {
		t.Run(name, func(t *testing.T) {
			var into file
			_, probs := Decode("a.yaml", []byte(c.text), &into, c.form)
			if len(probs) != len(c.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(probs), len(c.want), probs)
			}
			for i, p := range probs {
				if !strings.Contains(p.Error(), c.want[i]) {
					t.Errorf("%q does not say %q", p.Error(), c.want[i])
				}
				if strings.Contains(p.What, "hunter2") {
					t.Errorf("%q tells the value", p.What)
				}
			}
		})
	}
}

func TestWhatIsRightBesideAMistakeIsRead(t *testing.T) {
	var f file
	d, probs := Decode("a.yaml", []byte("name: x\nwait: 1m30s\nparts:\n  - host: h\n    prot: 1\n"), &f, Form{})
	if len(probs) != 1 || f.Name != "x" || time.Duration(f.Wait) != 90*time.Second || f.Wait.Or(1) != 90*time.Second || len(f.Parts) != 1 || f.Parts[0].Host != "h" {
		t.Fatalf("%v %+v", probs, f)
	}
	for path, line := range map[string]int{"name": 1, "parts[0].host": 4, "parts[0].port": 4, "parts[7]": 4, "nowhere": 1, "": 1} {
		if got := d.Line(path); got != line {
			t.Errorf("%q stands on line %d, want %d", path, got, line)
		}
	}
	if p := d.Problem("parts[0].port", "give one", "is %s", "missing"); p.Error() != "a.yaml:4: parts[0].port: is missing\n    hint: give one" {
		t.Error(p)
	}
	if Unwritten("b").Line("name") != 0 {
		t.Error("a line of nothing")
	}
}

func TestSharesAreWrittenAsTheyAreRead(t *testing.T) {
	for text, want := range map[string]Percent{"0%": 0, "0.5%": 50, "0.01%": 1, "5%": 500, "33.33%": 3_333, "100%": 10_000} {
		var f file
		if _, probs := Decode("a", []byte("share: "+text), &f, Form{}); probs != nil || f.Share != want || f.Share.String() != text || f.Share.Of() != float64(want)/10_000 {
			t.Errorf("%s: %d %s %v", text, f.Share, f.Share, probs)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"primary", "secondary", "forbidden"}
	for in, want := range map[string]string{"primry": "primary", "secundary": "secondary", "x": "", "zzzzzzzzz": ""} {
		if got := Nearest(in, words); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: x\nwait: 4s\nparts: [{host: h, port: 1}]\nwords: {a: b}"))
	f.Add([]byte("name: &a x\nwords: {b: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var into file
		d, probs := Decode("a", data, &into, Form{})
		if d == nil && len(probs) == 0 {
			t.Fatal("nothing was read, and nobody is told why")
		}
	})
}
