package routing

import "testing"

// A message takes the routes that carry messages; where none of its direction does, those of calls. Calls take any.
func TestMessagesTakeTheirRoutes(t *testing.T) {
	rs := func(messages bool) *rules {
		return &rules{routes: []*route{
			{Route: Route{Name: "voice", Direction: Inbound, Prefix: []string{"+49"}}},
			{Route: Route{Name: "sms", Direction: Inbound, Messages: messages}},
			{Route: Route{Name: "out", Direction: Outbound}},
		}}
	}
	for _, c := range []struct {
		messages, message bool
		dir               Direction
		want              string
	}{
		{true, true, Inbound, "sms"},
		{true, false, Inbound, "voice"},
		{false, true, Inbound, ""},
		{true, true, Outbound, ""},
	} {
		got := rs(c.messages).match(&Request{Called: "+4930", Message: c.message}, c.dir)
		name := ""
		if got != nil {
			name = got.Name
		}
		if name != c.want {
			t.Errorf("%+v: %q", c, name)
		}
	}
}
