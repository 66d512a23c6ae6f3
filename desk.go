package cordon

import "strings"

// roomFor says whether a target's party takes one more call. It is routing's question about capacity: the edge counts, the configuration has the limit.
func (n *Node) roomFor(target string) bool {
	party, _, _ := strings.Cut(target, "/")
	return n.edge == nil || !n.edge.Full(party)
}
