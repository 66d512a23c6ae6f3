package configs

// Restart is what becomes of calls that are up when this process ends.
type Restart struct {
	// Calls that are up at SIGTERM, where media is a process of its own: keep (their audio goes on, and the next process takes them up; a supervisor must let the media process live) or end (new calls are refused, live ones go
	// on until the drain is over). Default: keep with media.inprocess: false, else end. SIGINT and a node whose media ends with it always drain. keep is refused at the start where media is no process of its own.
	Calls string `yaml:"calls,omitempty"`
}

// RestartPart is what becomes of calls at the end of the process.
type RestartPart struct {
	End  bool // they are ended
	Must bool // they must be kept: the file says so
}

func (b *builder) restart(c *Config) {
	switch w := b.doc.file.Restart.Calls; w {
	case "":
		c.Restart.End = !c.Media.Apart // who did not ask for two processes may have a supervisor that ends both
	case "keep":
		c.Restart.Must = true
	case "end":
		c.Restart.End = true
	default:
		b.fail("restart.calls", "keep or end; leave it out to keep them with media.inprocess: false", "%q is neither", w)
	}
}
