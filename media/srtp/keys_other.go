//go:build !amd64 || purego

package srtp

// keys are those of the standard library, where there is no assembly.
type keys struct{ portable }
