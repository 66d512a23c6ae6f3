package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/audit/retain"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
	"go.yaml.in/yaml/v3"
)

// Uses of sources of evidence in a charter.
const (
	sourceFeed  = "feed"
	sourceRIR   = "rir"
	sourceSight = "sight"
)

// proofs puts what may contradict, what becomes of running calls and what is kept into a charter.
func (c *Config) proofs(out *charter.Charter, path func(string) string) (err error) {
	out.Edition, out.Position = charter.Edition, spotOf(c.Evidence.At)
	if out.Evidence, err = c.File.Evidence.charter(path); err != nil {
		return err
	}
	out.Running = c.Law.charter()
	for _, r := range c.Retention {
		out.Retention = append(out.Retention, charter.Class{Class: r.Name, Trunks: r.Trunks, Years: r.Keep.Years, Days: r.Keep.Days, Reason: r.Reason, Binding: r.Binding})
	}
	return nil
}

func spotOf(s *evidence.Spot) *charter.Spot {
	if s == nil {
		return nil
	}
	return &charter.Spot{Lat: s.Lat, Lon: s.Lon, KM: s.KM}
}

// charter is the section as sources, each as its entry says. What is left of the section is its rest, so that a field of a later version counts, too.
func (e *Evidence) charter(path func(string) string) (out charter.Evidence, err error) {
	if out.Weak = "alert"; e == nil {
		return out, nil
	}
	add := func(use string, entry any) {
		says, e := text(entry)
		if e != nil {
			err = e
		}
		out.Sources = append(out.Sources, charter.Source{Use: use, Says: says})
	}
	for _, f := range e.Feeds {
		f.File, f.Digest, f.RPKI = path(f.File), strings.ToLower(f.Digest), f.RPKI.at(path)
		add(sourceFeed, f)
	}
	for _, file := range e.RIR {
		add(sourceRIR, path(file))
	}
	for _, file := range e.Sights {
		add(sourceSight, path(file))
	}
	if e.OnContradiction.Weak != "" {
		out.Weak = e.OnContradiction.Weak
	}
	rest := *e
	rest.Feeds, rest.RIR, rest.Sights, rest.OnContradiction.Weak = nil, nil, nil, ""
	if out.Rest, err = text(rest); out.Rest == "{}\n" {
		out.Rest = ""
	}
	return out, err
}

// section is the way back.
func section(e charter.Evidence) (*Evidence, error) {
	out := &Evidence{}
	err := yaml.Unmarshal([]byte(e.Rest), out)
	for _, s := range e.Sources {
		var e error
		switch s.Use {
		case sourceFeed:
			var f Feed
			e = yaml.Unmarshal([]byte(s.Says), &f)
			out.Feeds = append(out.Feeds, f)
		case sourceRIR, sourceSight:
			var file string
			e = yaml.Unmarshal([]byte(s.Says), &file)
			if s.Use == sourceRIR {
				out.RIR = append(out.RIR, file)
			} else {
				out.Sights = append(out.Sights, file)
			}
		default:
			e = fmt.Errorf("%q is no source of evidence that this version knows", s.Use)
		}
		if err == nil {
			err = e
		}
	}
	if err != nil {
		return nil, fmt.Errorf("configs: the evidence that people accepted: %w", err)
	}
	out.OnContradiction.Weak = e.Weak
	return out, nil
}

func (l *LawPart) charter() map[string]charter.Running {
	out := map[string]charter.Running{charter.CommonRule: charter.Running(l.Common)}
	for name, r := range l.Own {
		out["party "+name] = charter.Running(r)
	}
	for name, r := range l.Routes {
		out["route "+name] = charter.Running(r)
	}
	return out
}

// lawOf is the way back.
func lawOf(rules map[string]charter.Running) LawPart {
	out := LawPart{Common: Running(rules[charter.CommonRule]), Own: map[string]Running{}, Routes: map[string]Running{}}
	for name, r := range rules {
		if party, ok := strings.CutPrefix(name, "party "); ok {
			out.Own[party] = Running(r)
		}
		if route, ok := strings.CutPrefix(name, "route "); ok {
			out.Routes[route] = Running(r)
		}
	}
	return out
}

// prove has the stricter of both count in all that may contradict, of running calls and of what is kept. now is the charter of the file, and out what was built of it
// with the sources of both.
func (h *holder) prove(out *Config, now charter.Charter) {
	out.Evidence.At = nil
	if s := charter.StricterPosition(h.accepted, now); s != nil {
		out.Evidence.At = &evidence.Spot{Lat: s.Lat, Lon: s.Lon, KM: s.KM}
	}
	for _, r := range h.accepted.Regions {
		if delete(out.Evidence.Spots, r.Key); r.Position != nil {
			out.Evidence.Spots[r.Key] = evidence.Spot{Lat: r.Position.Lat, Lon: r.Position.Lon, KM: r.Position.KM}
		}
	}
	out.Law = lawOf(charter.StricterRunning(h.accepted, now))
	out.reroutes()
	out.Retention = nil
	for _, c := range charter.StricterRetention(h.accepted, now) {
		out.Retention = append(out.Retention, retain.Class{Name: c.Class, Trunks: slices.Clone(c.Trunks), Keep: retain.Keep{Years: c.Years, Days: c.Days}, Reason: c.Reason, Binding: c.Binding})
	}
}

// regionSpot is the position of a region of the operator's own, or nil.
func (e *EvidencePart) regionSpot(key sovereign.Region) *charter.Spot {
	if s, ok := e.Spots[key]; ok {
		return spotOf(&s)
	}
	return nil
}
