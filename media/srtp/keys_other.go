//go:build !amd64 || purego

package srtp

// keys are those of the standard library, where there is no assembly.
type keys struct{ portable }

// lasting says that making the keys again would allocate.
func (k *keys) lasting() bool { return true }

// session gives the keys to work with, which stay awake: room is for others.
func (d *dormant) session(Suite, *session) *session { return d.awake }
