#include "dashboard_priv.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

/* 'sha256-...' of what stands between the tags, as CSP level 3 section 2.3.1 wants it. */
static char *
hash_between(const char *open, const char *close)
{
	const unsigned char *begin =
	    memmem(dashboard_page, dashboard_page_len, open, strlen(open));
	unsigned char digest[EVP_MAX_MD_SIZE], base64[EVP_MAX_MD_SIZE * 2];
	const unsigned char *end;
	unsigned len = 0;
	size_t rest;
	int done;

	assert(begin != NULL);
	begin += strlen(open);
	rest = dashboard_page_len - (size_t)(begin - dashboard_page);
	end = memmem(begin, rest, close, strlen(close));
	assert(end != NULL);
	done = EVP_Digest(begin, (size_t)(end - begin), digest, &len, EVP_sha256(), NULL);
	assert(done == 1); /* fails only for want of memory */
	EVP_EncodeBlock(base64, digest, (int)len);
	return xprintf("'sha256-%s'", (const char *)base64);
}

char *
dashboard_policy(void)
{
	char *style = hash_between("<style>", "</style>");
	char *script = hash_between("<script>", "</script>");
	char *policy = xprintf("default-src 'none'; style-src %s; script-src %s; connect-src "
			       "'self'; img-src data:; base-uri 'none'; form-action 'none'; "
			       "frame-ancestors 'none'",
	    style, script);

	free(style);
	free(script);
	return policy;
}
