package routing

import (
	"slices"
	"strings"
)

// universal is the emergency number that works in every country of the EEA and in Switzerland, Directive (EU) 2018/1972 Art. 109.
const universal = "112"

// isSOS says whether a service URN asks for emergency help, RFC 5031 section 4.2.
func isSOS(service string) bool {
	const sos = "urn:service:sos"
	return len(service) >= len(sos) && strings.EqualFold(service[:len(sos)], sos) && (len(service) == len(sos) || service[len(sos)] == '.')
}

// direction says which way a call of this party goes; ok is false for an unknown party.
func (c *rules) direction(from string) (Direction, bool) {
	if _, ok := c.Trunks[from]; ok {
		return Inbound, true
	}
	_, ok := c.Groups[from]
	return Outbound, ok
}

// match finds the route: the longest called prefix over all routes wins; then one that names the caller's party, then one that names the domain,
// then the first declared.
func (c *rules) match(req *Request, dir Direction) *route {
	var best *route
	bestScore := -1
	for _, rt := range c.routes {
		if rt.Direction != dir || req.Message && !rt.Messages { // a message is no call: a way for it is opened by name
			continue
		}
		if len(rt.From) > 0 && !slices.Contains(rt.From, req.From) {
			continue
		}
		if len(rt.Domain) > 0 && !slices.ContainsFunc(rt.Domain, func(d string) bool { return strings.EqualFold(d, req.Domain) }) {
			continue
		}
		length, ok := longest(rt.Prefix, req.Called)
		if !ok {
			continue
		}
		score := length << 2
		if len(rt.From) > 0 {
			score |= 2
		}
		if len(rt.Domain) > 0 {
			score |= 1
		}
		if score > bestScore {
			best, bestScore = rt, score
		}
	}
	return best
}

func longest(prefixes []string, called string) (int, bool) {
	if len(prefixes) == 0 {
		return 0, true
	}
	best, ok := 0, false
	for _, p := range prefixes {
		if strings.HasPrefix(called, p) {
			best, ok = max(best, len(p)), true
		}
	}
	return best, ok
}

// emergencyOf says whether the call is an emergency call for a caller in country, and which rule carries it; the rule is nil when the country has
// none. Where the country is unknown, any country's number counts: better refused in clear words than sent abroad.
func (c *rules) emergencyOf(req *Request, country string) (*emergency, bool) {
	rule := c.emergency[country]
	if isSOS(req.Service) || isSOS(req.Called) || req.Called == universal {
		return rule, true
	}
	switch {
	case rule != nil:
		return rule, rule.numbers[req.Called]
	case country == "":
		return nil, c.numbers[req.Called]
	}
	return nil, false
}
