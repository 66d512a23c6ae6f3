package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const cliPage = "../../docs/reference/cli.md"

// commandLine is the model of the whole command line and the page that explains it.
func commandLine(t *testing.T) (*kong.Kong, string) {
	t.Helper()
	text, err := os.ReadFile(cliPage)
	if err != nil {
		t.Fatal(err)
	}
	p, err := kong.New(&cli{}, kong.Name("cordon"), kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	return p, string(text)
}

// chapters are the sections of the page by their heading; "" is the text before the first.
func chapters(page string) map[string]string {
	out := map[string]string{}
	name := ""
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, "## "); ok {
			name = strings.Trim(strings.TrimSpace(rest), "`")
		}
		out[name] += line
	}
	return out
}

func TestThePageExplainsEveryCommandAndFlag(t *testing.T) {
	p, page := commandLine(t)
	sections := chapters(page)
	leaves := p.Model.Leaves(false)
	if len(leaves) < 15 {
		t.Fatalf("only %d commands were found", len(leaves))
	}
	for _, leaf := range leaves {
		name := "cordon " + leaf.Path()
		text, ok := sections[name]
		if !ok {
			t.Errorf("%s has no section", name)
			continue
		}
		if !strings.Contains(text, "    "+name) {
			t.Errorf("%s has no example", name)
		}
		for _, group := range leaf.AllFlags(true) {
			for _, f := range group {
				where := text
				if slices.Contains([]string{"help", "version", "api", "token", "roots"}, f.Name) {
					where = sections[""]
				}
				if !strings.Contains(where, "`--"+f.Name+"`") {
					t.Errorf("%s: --%s is not explained", name, f.Name)
				}
				if f.HasDefault && f.Default != "" && !strings.Contains(where, f.Default) {
					t.Errorf("%s: the default %q of --%s does not stand there", name, f.Default, f.Name)
				}
			}
		}
		for _, a := range leaf.Positional {
			if !strings.Contains(text, strings.ToUpper(a.Name)) {
				t.Errorf("%s: the argument %s is not named", name, a.Name)
			}
		}
	}
}

var longFlag = regexp.MustCompile("`--([a-z-]+)`")

func TestThePageKnowsNoCommandOrFlagThatIsNot(t *testing.T) {
	p, page := commandLine(t)
	commands, flags := map[string]bool{}, map[string]bool{"help": true, "version": true}
	for _, leaf := range p.Model.Leaves(false) {
		commands["cordon "+leaf.Path()] = true
		for _, group := range leaf.AllFlags(true) {
			for _, f := range group {
				flags[f.Name] = true
			}
		}
	}
	for name := range chapters(page) {
		if strings.HasPrefix(name, "cordon ") && !commands[name] {
			t.Errorf("there is no command %q", name)
		}
	}
	for _, m := range longFlag.FindAllStringSubmatch(page, -1) {
		if !flags[m[1]] {
			t.Errorf("there is no flag --%s", m[1])
		}
	}
}

// Each example of the page is a command line that parses.
func TestTheExamplesOfThePageParse(t *testing.T) {
	_, page := commandLine(t)
	t.Chdir("../..")
	for _, f := range []string{"me.token", "roots.pem", "law.key", "guardrail.json", "log.vkey", "calls.csv", "recovery.key"} {
		page = strings.ReplaceAll(page, f, "README.md") // any file that exists
	}
	page = strings.ReplaceAll(page, "/var/lib/cordon", "docs")
	page = strings.ReplaceAll(page, "/etc/cordon/cordon.yaml", "configs/examples/two-groups.yaml")
	n := 0
	for line := range strings.Lines(page) {
		words, ok := strings.CutPrefix(line, "    cordon ")
		if !ok {
			continue
		}
		n++
		words, _, _ = strings.Cut(words, "  #")
		p, err := kong.New(&cli{}, kong.Name("cordon"), kong.Vars{"version": "test"}, kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Parse(split(strings.TrimSpace(words))); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	if n < 18 {
		t.Errorf("only %d examples were found", n)
	}
}

// split cuts a command line at blanks outside of quotes, as a shell does.
func split(s string) []string {
	quoted := false
	words := strings.FieldsFunc(s, func(r rune) bool {
		quoted = quoted != (r == '"')
		return r == ' ' && !quoted
	})
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], `"`, "")
	}
	return words
}
