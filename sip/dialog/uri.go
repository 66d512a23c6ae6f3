package dialog

import msg "github.com/emiago/sipgo/sip"

// URI is a URI that a dialog keeps, in a third of the memory of one in a message: nearly all are a scheme, a user, a host and a port. The zero URI is none.
type URI struct {
	user, host string
	port       int32
	sips       bool
	more       *msg.Uri // the whole of one that says more; nil else. Never changed but by Detach
}

// keep takes a URI out of a message, without the headers, which are no part of an address. RFC 3261 section 19.1.1.
func keep(u *msg.Uri) URI {
	plain := (u.Scheme == "sip" || u.Scheme == "sips") && !u.Wildcard && !u.HierarhicalSlashes && u.Password == "" && len(u.UriParams) == 0 && u.Raw() == "" &&
		u.Port >= 0 && u.Port <= 1<<16
	if plain {
		return URI{user: u.User, host: u.Host, port: int32(u.Port), sips: u.Scheme == "sips"}
	}
	c := u.Clone()
	c.Headers = nil
	return URI{more: c}
}

// Host is its host, as it was written.
func (u *URI) Host() string {
	if u.more != nil {
		return u.more.Host
	}
	return u.host
}

// User is its user, as it was written.
func (u *URI) User() string {
	if u.more != nil {
		return u.more.User
	}
	return u.user
}

// Uri is the URI as messages have it. It shares the parameters.
func (u *URI) Uri() msg.Uri {
	if u.more != nil {
		return *u.more
	}
	scheme := "sip"
	if u.sips {
		scheme = "sips"
	}
	return msg.Uri{Scheme: scheme, User: u.user, Host: u.host, Port: int(u.port)}
}

// loose says whether it is a loose router's. RFC 3261 section 19.1.1.
func (u *URI) loose() bool { return u.more != nil && u.more.UriParams.Has("lr") }

// strings adds where its strings are.
func (u *URI) strings(all []*string) []*string {
	all = append(all, &u.user, &u.host)
	if m := u.more; m != nil {
		if m.Raw() != "" { // which nobody but the parser can set
			var own msg.Uri
			if msg.ParseUri(m.String(), &own) == nil && own.Raw() == m.Raw() {
				*m = own
			}
			return all
		}
		all = append(all, &m.Scheme, &m.User, &m.Password, &m.Host)
		for i := range m.UriParams {
			all = append(all, &m.UriParams[i].K, &m.UriParams[i].V)
		}
	}
	return all
}
