/* What of an object is not read. */
#include <string.h>

#include "manifest_priv.h"

/*
 * Most of a Pod says nothing of where it can be reached, and a cluster has many of them.  In no kind
 * of object that is read does any of this count.
 */
static const struct {
	const char *at;
	const char *keys[20];
} skipped[] = {
	{ "metadata",
	    { "managedFields", "ownerReferences", "finalizers", "uid", "resourceVersion",
		"generateName", "generation", "selfLink" } },
	{ "spec",
	    { "volumes", "tolerations", "affinity", "initContainers", "ephemeralContainers",
		"securityContext", "template", "topologySpreadConstraints", "imagePullSecrets",
		"dnsPolicy", "enableServiceLinks", "preemptionPolicy", "priority", "restartPolicy",
		"schedulerName", "serviceAccount", "serviceAccountName",
		"terminationGracePeriodSeconds" } },
	{ "containers",
	    { "env", "envFrom", "resources", "volumeMounts", "livenessProbe", "readinessProbe",
		"startupProbe", "lifecycle", "securityContext", "command", "args", "image",
		"imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy" } },
	{ "status",
	    { "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses", "images",
		"nodeInfo", "volumesAttached", "volumesInUse", "hostIP", "hostIPs", "qosClass",
		"startTime" } },
	{ "conditions",
	    { "lastHeartbeatTime", "lastProbeTime", "lastTransitionTime", "message", "reason" } },
	{ "targetRef", { "uid", "resourceVersion" } },
	{ "endpoints", { "hints", "zone", "deprecatedTopology" } },
};

bool
manifest_skips(const char *at, const char *key)
{
	for (size_t i = 0; at != NULL && i < sizeof(skipped) / sizeof(skipped[0]); i++) {
		if (strcmp(skipped[i].at, at) != 0)
			continue;
		for (const char *const *known = skipped[i].keys; *known != NULL; known++)
			if (strcmp(*known, key) == 0)
				return true;
	}
	return false;
}
