// Package s3 is one bucket whose objects nobody can delete before their time: S3 with Object Lock, as the few requests that a copy needs.
//
// Requests are signed by Signature Version 4 and go out by the HTTP client that the caller gives, so that its rules decide which address is dialled. What is
// stored is given with its digest and checked by the server; what is read is bounded. It never retries: its caller knows when. It imports the standard library alone.
package s3
