//go:build !linux

package osnet

// Descriptors is not known here.
func (Net) Descriptors() int { return 0 }
