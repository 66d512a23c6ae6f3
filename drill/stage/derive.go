package stage

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/nameserver"
)

// The files of a sandbox, in its folder.
const (
	fileConfig      = "sandbox.yaml"
	fileCert        = "node.crt"
	fileKey         = "node.key"
	fileRoots       = "roots.pem"
	fileSuspensions = "suspended.jsonl"
)

// Mark is put behind the name of the organisation and of the node, so that no log, receipt or notice of a sandbox is ever taken for one of production.
const Mark = "-sandbox"

// derive makes the configuration of the sandbox. What it cannot take over as it stands is told in s.Differs.
func (s *Stage) derive(l *land) configs.File {
	f := s.from.File
	f.Tenant = configs.Tenant{OrgID: f.Tenant.OrgID + Mark, Name: marked(f.Tenant.Name)}
	f.Node.Name, f.Node.StateDir = f.Node.Name+Mark, "state"
	if f.Policy.SuspensionsFile != "" {
		f.Policy.SuspensionsFile = fileSuspensions
	}
	f.Places = s.places(l)
	f.Listeners = s.listeners()
	f.Media.Address, f.Media.Advertise, f.Media.Ports, f.Media.Workers = s.node.String(), "", "", "1"
	inside := true
	f.Media.InProcess, f.Restart = &inside, configs.Restart{}
	f.Trunks, f.EdgeGroups = s.parties(f.Trunks, true), s.parties(f.EdgeGroups, false)
	f.Routes = s.routes(f.Routes)
	f.People = s.people(f.People)
	f.DNS.Servers = nil
	for _, n := range s.servers {
		f.DNS.Servers = append(f.DNS.Servers, n.Addr().String())
	}
	f.Notify = channels(f.Notify)
	f.API = configs.API{Address: "off"}
	f.Trace.Unmasked, f.Drills = false, configs.Drills{}
	s.strip(&f)
	return f
}

func marked(name string) string {
	if name == "" {
		return ""
	}
	return name + " (sandbox)"
}

// strip takes out what would reach for the world outside, or speaks for the organisation.
func (s *Stage) strip(f *configs.File) {
	for _, x := range []struct {
		there bool
		what  string
	}{
		{f.Evidence != nil, "evidence: places are as declared; feeds, registries and round trips say nothing of stand-ins"},
		{len(f.Inventory) > 0, "inventory: endpoints outside the call path are not watched"},
		{len(f.Log.Witnesses) > 0, "log.witnesses: nobody signs the sandbox's log beside the sandbox"},
		{f.Log.WORM != nil, "log.worm: the sandbox's log has no second copy"},
		{f.HEP != nil || f.Spans != nil, "hep, spans: no collector is fed"},
		{len(f.Notify) > 0, "notify: each channel delivers to a stand-in"},
		{f.Gate.Signatures == "required", "gate.signatures: stand-ins for people decide without keys of their own"},
	} {
		if x.there {
			s.Differs = append(s.Differs, x.what)
		}
	}
	f.Evidence, f.Inventory, f.HEP, f.Spans = nil, nil, nil, nil
	f.Log.Witnesses, f.Log.Quorum, f.Log.WitnessEvery, f.Log.WORM = nil, 0, 0, nil
	f.Gate.Signatures = ""
	f.Log.Reserve = "1MiB"
	f.Processing = configs.Processing{}
	e := f.Entity
	f.Entity = configs.Entity{Types: e.Types, Currency: e.Currency, NIS2: e.NIS2, Designated: e.Designated, TimeZone: e.TimeZone, Holidays: e.Holidays}
}

// places are those of production on the ground of the sandbox.
func (s *Stage) places(l *land) []configs.Place {
	out := slices.Clone(s.from.File.Places)
	for i := range out {
		if p, err := netip.ParsePrefix(out[i].Prefix); err == nil { // the loader has seen to it
			out[i].Prefix = l.plot(l.plots[p]).String()
		}
	}
	return out
}

// listeners are as many as production has, of the same transports, where the node stands; the system chooses their ports.
func (s *Stage) listeners() []configs.Listener {
	var out []configs.Listener
	for _, l := range s.from.File.Listeners {
		d := configs.Listener{Transport: l.Transport, Address: netip.AddrPortFrom(s.node, 0).String()}
		if l.Transport == "tls" {
			d.CertFile, d.KeyFile = fileCert, fileKey
			if l.ClientCAFile != "" {
				d.ClientCAFile = fileRoots
			}
		}
		out = append(out, d)
	}
	return out
}

// parties are those of production with stand-ins for members.
func (s *Stage) parties(list []configs.Party, trunk bool) []configs.Party {
	out := slices.Clone(list)
	for i := range out {
		p := &out[i]
		was := *p
		p.Members, p.Sources = nil, nil
		for _, x := range s.stands {
			if x.trunk != trunk || x.index[0] != i {
				continue
			}
			var m configs.Member
			if !was.Registers {
				m = was.Members[x.index[1]]
			}
			p.Members = append(p.Members, x.reached(m))
			if a := x.addr.Addr().String(); !slices.Contains(p.Sources, a) {
				p.Sources = append(p.Sources, a)
			}
		}
		s.identity(p, &was)
		s.protection(p, &was)
	}
	return out
}

// reached writes a stand-in as the member that it stands for.
func (x *stand) reached(m configs.Member) configs.Member {
	out := configs.Member{Name: x.member, Host: x.addr.Addr().String(), Port: x.addr.Port(), Transport: x.transport, Priority: m.Priority, Weight: m.Weight}
	if x.host != "" {
		out.Host, out.Transport = x.host, m.Transport
		if m.Port == 0 { // the name server gives it
			out.Port = 0
		}
	}
	return out
}

// identity is who a party is to us, and we to it: names stay, keys and passwords are the sandbox's own.
func (s *Stage) identity(p, was *configs.Party) {
	p.Contact = "" // peers look its address up
	if p.TLS.RootsFile != "" || slices.ContainsFunc(p.Members, func(m configs.Member) bool { return m.Transport == "tls" || m.Transport == "" }) {
		p.TLS.RootsFile = fileRoots
	}
	if p.TLS.CertFile != "" {
		p.TLS.CertFile, p.TLS.KeyFile = fileCert, fileKey
	}
	if p.Registers {
		p.Registers, p.Challenge = false, nil
		s.Differs = append(s.Differs, was.Name+": registers with production; its stand-in is always there and need not")
	}
	if p.Auth != nil {
		a := *p.Auth
		a.Password = configs.Secret{File: s.secret(was.Name)}
		p.Auth = &a
	}
	if p.Challenge != nil {
		c := *p.Challenge
		c.Users = slices.Clone(c.Users)
		for i := range c.Users {
			c.Users[i].Password = configs.Secret{File: s.secret(was.Name)}
		}
		p.Challenge = &c
	}
}

// protection is how its media is protected. Stand-ins speak SDES and plain RTP.
func (s *Stage) protection(p, was *configs.Party) {
	m := &p.Media
	m.Address, m.Advertise, m.Prefixes = "", "", nil
	if m.Security == "dtls" || m.ICE != "" && m.ICE != "off" {
		s.Differs = append(s.Differs, was.Name+": DTLS-SRTP and ICE; its stand-in has SDES keys and neither")
		m.ICE = ""
		if m.Security == "dtls" {
			m.Security, m.InsecureLab = "srtp", true // within one machine
		}
		m.Profile = ""
	}
}

// routes are those of production, with copies of their files.
func (s *Stage) routes(list []configs.Route) []configs.Route {
	out := slices.Clone(list)
	for i := range out {
		r := &out[i]
		r.Table = s.copied(r.Table, fmt.Sprintf("route-%d", i))
		if r.OnHold != nil && r.OnHold.Announce != nil {
			hold, announce := *r.OnHold, *r.OnHold.Announce
			announce.Files = slices.Clone(announce.Files)
			for j, name := range announce.Files {
				announce.Files[j] = s.copied(name, fmt.Sprintf("sound-%d-%d", i, j))
			}
			hold.Announce = &announce
			r.OnHold = &hold
		}
	}
	return out
}

// people are those of production by their identifiers and roles, with tokens of the sandbox's own.
func (s *Stage) people(list []configs.Person) []configs.Person {
	var out []configs.Person
	for i, p := range list {
		out = append(out, configs.Person{
			ID: p.ID, Roles: p.Roles, DeputyFor: p.DeputyFor, Absent: p.Absent, Token: configs.Secret{File: s.secret(fmt.Sprintf("person-%d", i))},
		})
	}
	return out
}

// channels are those of production by their names, what they tell and how often; each delivers to Stage.Delivered.
func channels(list []configs.Channel) []configs.Channel {
	var out []configs.Channel
	for _, c := range list {
		out = append(out, configs.Channel{Name: c.Name, Type: "console", Kinds: c.Kinds, Rate: c.Rate, Templates: c.Templates})
	}
	return out
}

// records are what the name server of the sandbox knows: the names of production's members.
func (s *Stage) records() (out []nameserver.Record) {
	seen := map[string]bool{}
	add := func(key string, r nameserver.Record) {
		if !seen[key] {
			seen[key] = true
			out = append(out, r)
		}
	}
	for _, x := range s.stands {
		if x.host == "" {
			continue
		}
		add("a "+x.host, nameserver.Record{Name: x.host, Addr: x.addr.Addr()})
		if prefix := map[string]string{"tls": "_sips._tcp.", "tcp": "_sip._tcp.", "udp": "_sip._udp."}[x.transport]; !x.ported {
			add("srv "+prefix+x.host, nameserver.Record{Name: prefix + x.host, Target: x.host, Port: x.addr.Port()})
		}
	}
	return out
}

// names are those that the certificate of a stand-in carries: what production verifies, and what it asks of its client certificate.
func (x *stand) names(p *configs.Party) []string {
	names := map[string]bool{x.addr.Addr().String(): true}
	for _, n := range append([]string{p.TLS.ServerName, x.host, p.Domain}, p.Peers...) {
		if n != "" {
			names[n] = true
		}
	}
	return slices.SortedFunc(maps.Keys(names), cmp.Compare[string])
}
