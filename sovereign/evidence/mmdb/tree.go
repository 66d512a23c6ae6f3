package mmdb

import (
	"errors"
	"fmt"
)

// Bounds of a walk through a search tree.
const (
	maxBits    = 128 // of an address
	walkFactor = 16  // visits of nodes, for each node: writers lead a few aliases of IPv4 into one part of the tree
)

// tree is the search tree at the beginning of a file: nodes of two records of size bits, each a node, nothing, or data.
type tree struct {
	data  []byte
	nodes uint
	size  uint     // of a record: 24, 28 or 32
	below []uint32 // visits that a walk from each node takes; 0: not known yet
}

// underWay stands in below for a node that is being walked.
const underWay = ^uint32(0)

var errLoop = errors.New("mmdb: the search tree leads back to itself")

// walkable refuses a tree whose walk would not end, or take much longer than reading the file: nodes that lead to one node twice, again and again, make a small file
// a walk of 2^128 steps.
func walkable(data []byte, nodes, size uint) error {
	if size != 24 && size != 28 && size != 32 || nodes > uint(len(data))/(size/4) {
		return fmt.Errorf("mmdb: there are no %d nodes with records of %d bits in %d bytes", nodes, size, len(data))
	}
	if nodes == 0 {
		return errors.New("mmdb: the database is empty")
	}
	t := &tree{data, nodes, size, make([]uint32, nodes)}
	steps, err := t.walk(0, 0)
	if err == nil && uint(steps) > walkFactor*max(nodes, maxBits) {
		err = fmt.Errorf("mmdb: the search tree of %d nodes takes %d steps or more to walk", nodes, steps)
	}
	return err
}

// walk gives how many visits a walk from a node takes, as far as 32 bits count.
func (t *tree) walk(node, depth uint) (uint32, error) {
	switch {
	case node >= t.nodes:
		return 0, nil
	case t.below[node] == underWay || depth > maxBits:
		return 0, errLoop
	case t.below[node] != 0:
		return t.below[node], nil
	}
	t.below[node] = underWay
	left, right := t.records(node)
	sum := uint64(1)
	for _, next := range [...]uint{left, right} {
		n, err := t.walk(next, depth+1)
		if err != nil {
			return 0, err
		}
		sum += uint64(n)
	}
	t.below[node] = uint32(min(sum, uint64(underWay)-1))
	return t.below[node], nil
}

// records reads a node. With 28 bits the byte in the middle holds the highest four of both: MaxMind DB file format 2.0, "Node Layout".
func (t *tree) records(node uint) (left, right uint) {
	b := t.data[node*t.size/4:]
	three := func(b []byte) uint { return uint(b[0])<<16 | uint(b[1])<<8 | uint(b[2]) }
	switch t.size {
	case 24:
		return three(b), three(b[3:])
	case 28:
		return uint(b[3]>>4)<<24 | three(b), uint(b[3]&15)<<24 | three(b[4:])
	}
	return uint(b[0])<<24 | three(b[1:]), uint(b[4])<<24 | three(b[5:])
}
