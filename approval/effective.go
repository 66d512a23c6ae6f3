package approval

// Effective are the rules with the default of everything that is not set.
func (r Rules) Effective() Rules { return r.withDefaults() }
