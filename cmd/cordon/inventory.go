package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
)

type outsideCmd struct {
	List inventoryList `cmd:"" help:"Each endpoint outside the call path: where it is declared, where it was found, and the verdict."`
	Show inventoryShow `cmd:"" help:"One of them, whole: addresses, evidence, certificate, parent and support."`
}

type inventoryList struct {
	api
	Against bool `help:"Only endpoints that the policy does not permit where they were found."`
	JSON    bool `help:"As the interface gives it."`
}

// Run prints a line for each endpoint.
func (c *inventoryList) Run(ctx context.Context, s streams) error {
	var v struct {
		Endpoints []admin.Endpoint `json:"endpoints"`
	}
	if err := c.do(ctx, "GET", "/api/v1/inventory", nil, &v); err != nil {
		return err
	}
	list := []admin.Endpoint{}
	for _, e := range v.Endpoints {
		if !c.Against || e.State.Verdict != "permit" {
			list = append(list, e)
		}
	}
	if c.JSON {
		return asJSON(s.out, map[string]any{"endpoints": list})
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ENTRY\tKIND\tDECLARED\tFOUND\tVERDICT\tGROUND\tPARENT\tSUPPORT\tSINCE\tENDPOINT")
	for _, e := range list {
		verdict := string(e.State.Verdict)
		if !e.Watched {
			verdict = "not watched"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, e.Kind, countryWords(e.Countries), dash(strings.Join(foundIn(&e), ",")), verdict, e.State.Ground,
			parentWords(&e), countryWords(e.Support), clock(e.State.Since), e.State.Endpoint)
	}
	return w.Flush()
}

// foundIn are the countries of its addresses; "?" for one in no declared place.
func foundIn(e *admin.Endpoint) (out []string) {
	seen := map[string]bool{}
	for _, a := range e.State.Answers {
		word := strings.Join(a.Countries, "+")
		if word == "" {
			word = "?"
		}
		if !seen[word] {
			seen[word] = true
			out = append(out, word)
		}
	}
	return out
}

func countryWords(list []admin.EndpointCountry) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.Code
	}
	return dash(strings.Join(words, ","))
}

func parentWords(e *admin.Endpoint) string {
	if e.Reach == nil {
		return "-"
	}
	return e.Reach.Code
}

type inventoryShow struct {
	api
	Name string `arg:"" help:"Name of the entry."`
	JSON bool   `help:"As the interface gives it."`
}

// Run prints one endpoint.
func (c *inventoryShow) Run(ctx context.Context, s streams) error {
	var e admin.Endpoint
	if err := c.do(ctx, "GET", "/api/v1/inventory/"+url.PathEscape(c.Name), nil, &e); err != nil {
		return withHint(err, "cordon inventory list names the entries")
	}
	if c.JSON {
		return asJSON(s.out, e)
	}
	st := &e.State
	fmt.Fprintf(s.out, "%s  %s  %s\n%s since %s (%s): %s\n", e.Name, e.Kind, st.Endpoint, st.Verdict, clock(st.Since), st.Ground, st.Why)
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	where := strings.TrimSpace(e.Region + " " + legalWords(e.Countries))
	if e.Anycast {
		where += ", anycast"
	}
	row := func(what, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %s\t%s\n", what, text)
		}
	}
	row("declared", where+" by "+e.Contract)
	row("provider", strings.TrimSpace(e.Provider+" "+e.Identifier))
	parent := e.Parent
	if e.Reach != nil {
		parent = strings.TrimSpace(parent + " " + legalWords([]admin.EndpointCountry{*e.Reach}))
	}
	row("parent", parent)
	row("support from", legalWords(e.Support))
	row("function", e.Function)
	if !e.Watched {
		row("watched", "no")
	} else if !st.Looked.IsZero() {
		row("looked", st.Looked.UTC().Format(time.RFC3339))
	}
	row("failure", st.Failure)
	for _, a := range st.Answers {
		fmt.Fprintf(w, "\n%s\t%s\t%s (%s): %s\n", a.Addr, dash(strings.TrimSpace(a.Region+" "+strings.Join(a.Countries, ","))), a.Verdict, a.Ground, a.Why)
		row("evidence", fmt.Sprintf("%s: %s", a.Standing, a.Words))
		for _, it := range a.Evidence {
			fmt.Fprintf(w, "    %s\trank %d\t%s\t%s\n", it.Kind, it.Kind.Rank(), it.Result, it.Value)
		}
		if id := a.TLS; id != nil {
			row("certificate", fmt.Sprintf("%s by %s, until %s, key %.16s, %s", dash(strings.Join(id.Names, " ")), id.Issuer, id.NotAfter.Format(time.DateOnly), id.SPKI, id.Version))
			row("not trusted", id.Why)
		}
		row("handshake", a.Failure)
	}
	return w.Flush()
}

// legalWords are countries with what the law says of each.
func legalWords(list []admin.EndpointCountry) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.Code + " (" + strings.TrimSpace(strings.ReplaceAll(c.Standing, "_", " ")+" "+c.Instrument) + ")"
	}
	return strings.Join(words, ", ")
}
