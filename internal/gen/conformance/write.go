package main

import (
	"bytes"
	"fmt"
	"strings"
)

const head = `# SIP conformance

What a back-to-back user agent owes, RFC by RFC, and the test that shows it. This page is written by ` + "`make conformance`" + `, which runs the tests that it names;
` + "`make conformance ARGS=-interop`" + ` runs those with real peers as well. A test names its sections in its comment, and a row of the checklist that
no test shows says why.
`

// write makes the page. It fails when a row of the checklist has neither a test nor a reason.
func write(claims []claim, results map[test]string) ([]byte, error) {
	tests := map[int]map[test]bool{}
	for _, c := range claims {
		if tests[c.rfc] == nil {
			tests[c.rfc] = map[test]bool{}
		}
		tests[c.rfc][c.test] = true
	}
	var b bytes.Buffer
	b.WriteString(head)
	b.WriteString("\n## Checklist\n\n| item | RFC | tests | what is done | what is not, and why |\n|---|---|---|---|---|\n")
	for _, r := range checklist {
		n, rfcs := 0, []string{}
		for _, rfc := range r.rfcs {
			n += len(tests[rfc])
			rfcs = append(rfcs, number(rfc, tests[rfc] != nil))
		}
		if n == 0 && r.not == "" {
			return nil, fmt.Errorf("conformance: %s: no test names one of its RFCs, and no reason is given", r.item)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s |\n", r.item, strings.Join(rfcs, " "), n, r.done, r.not)
	}
	b.WriteString("\n## By RFC\n")
	for i, c := range claims {
		if i == 0 || claims[i-1].rfc != c.rfc {
			fmt.Fprintf(&b, "\n### RFC %d\n\n| section | test | where | result | what of it |\n|---|---|---|---|---|\n", c.rfc)
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", c.section, c.test.name, c.test.dir, results[c.test], c.words)
	}
	return b.Bytes(), nil
}

// number is an RFC in the checklist: a link where the page has tests for it.
func number(rfc int, shown bool) string {
	if !shown {
		return fmt.Sprint(rfc)
	}
	return fmt.Sprintf("[%d](#rfc-%d)", rfc, rfc)
}

// item is one row of the checklist.
type item struct {
	item string
	rfcs []int
	done string
	not  string // "" when nothing is left out
}
