package weixin

// Origin is where an access token, app secret or refresh token comes from, other than Weixin: a file or
// a token server. The zero value means Weixin. It is comparable.
type Origin struct {
	// File is the path of the file; "" for a token server.
	File string
	// URL is the token server's address without user and query, which may be secrets; "" for a file.
	URL string
}

// unusableURL names a token server in place of an address that cannot be used, and may be a secret.
const unusableURL = "the token URL"

// IsZero reports whether the origin is Weixin.
func (o Origin) IsZero() bool { return o == Origin{} }

// String returns the origin as error messages name it: "the file /run/token", or a URL.
func (o Origin) String() string {
	if o.File != "" {
		return "the file " + o.File
	}
	return o.URL
}

// originator is a TokenSource whose tokens do not come from Weixin.
type originator interface{ origin() Origin }
