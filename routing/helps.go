package routing

// AsksForHelp says whether a call would be planned as an emergency call. It is cheap enough to be asked of every message of a flood.
func (r *Router) AsksForHelp(req Request) bool {
	p := planner{rules: r.rules.Load(), law: r.law(), req: req}
	dir, known := p.rules.direction(req.From)
	if !known {
		return false
	}
	p.dir = dir
	p.read() // as Plan does: the party may write the number in its own way
	_, yes := p.rules.emergencyOf(&p.req, p.country())
	return yes
}
