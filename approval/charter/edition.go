package charter

import "slices"

// Edition is how much of a configuration a charter of this version of the program covers. It rises when a part comes into it that no charter had before.
const Edition = 2

// laterParts are what editions brought, in the words of the configuration. The first edition had none of them.
var laterParts = map[int][]string{
	2: {"node.position", "regions[].position", "evidence", "law", "retention"},
}

// knows says whether the parts of an edition stand in c. One that an earlier version wrote is silent on them, and that is no permission.
func (c *Charter) knows(edition int) bool { return c.Edition >= edition }

// Adopt gives c with the parts that its version did not know yet as next has them, and their names. It is for the one first sight of a charter that an earlier version
// wrote: what it gives knows all parts, so that nothing is adopted of a later configuration.
func (c Charter) Adopt(next Charter) (adopted Charter, parts []string) {
	if c.knows(2) || !next.knows(2) {
		return c, nil
	}
	c = c.sorted()
	c.Edition, c.Position, c.Evidence, c.Running, c.Retention = next.Edition, next.Position, next.Evidence, next.Running, next.Retention
	c.Regions = slices.Clone(c.Regions)
	for i := range c.Regions {
		if j := slices.IndexFunc(next.Regions, func(r Region) bool { return r.Key == c.Regions[i].Key }); j >= 0 {
			c.Regions[i].Position = next.Regions[j].Position
		}
	}
	for i := range c.People { // whose mark says the same deputises for the same
		p := &c.People[i]
		if j := slices.IndexFunc(next.People, func(n Person) bool { return n.Person == p.Person && n.Mark == p.Mark }); j >= 0 {
			p.DeputyFor = next.People[j].DeputyFor
		}
	}
	return c.sorted(), slices.Clone(laterParts[2])
}
