#include "event/attack.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"

/* Tactics, as numbers of their ids. */
enum tactic {
	EXECUTION = 2,
	PERSISTENCE = 3,
	ESCALATION = 4,
	EVASION = 5,
	CREDENTIALS = 6,
	DISCOVERY = 7,
	LATERAL = 8,
	EXFILTRATION = 10,
	CONTROL = 11,
	IMPACT = 40,
};

static const struct {
	enum tactic tactic;
	const char *id, *name;
} tactics[] = {
	{EXECUTION, "TA0002", "Execution"},
	{PERSISTENCE, "TA0003", "Persistence"},
	{ESCALATION, "TA0004", "Privilege Escalation"},
	{EVASION, "TA0005", "Defense Evasion"},
	{CREDENTIALS, "TA0006", "Credential Access"},
	{DISCOVERY, "TA0007", "Discovery"},
	{LATERAL, "TA0008", "Lateral Movement"},
	{EXFILTRATION, "TA0010", "Exfiltration"},
	{CONTROL, "TA0011", "Command and Control"},
	{IMPACT, "TA0040", "Impact"},
};

/* Sorted by id; a technique comes before its parts. */
static const struct {
	const char *id, *name;
	enum tactic tactic;
} techniques[] = {
	{"T1003", "OS Credential Dumping", CREDENTIALS},
	{"T1003.007", "Proc Filesystem", CREDENTIALS},
	{"T1003.008", "/etc/passwd and /etc/shadow", CREDENTIALS},
	{"T1014", "Rootkit", EVASION},
	{"T1021", "Remote Services", LATERAL},
	{"T1027", "Obfuscated Files or Information", EVASION},
	{"T1027.011", "Fileless Storage", EVASION},
	{"T1036", "Masquerading", EVASION},
	{"T1036.003", "Rename System Utilities", EVASION},
	{"T1036.004", "Masquerade Task or Service", EVASION},
	{"T1040", "Network Sniffing", CREDENTIALS},
	{"T1046", "Network Service Discovery", DISCOVERY},
	{"T1048", "Exfiltration Over Alternative Protocol", EXFILTRATION},
	{"T1053", "Scheduled Task/Job", PERSISTENCE},
	{"T1053.002", "At", PERSISTENCE},
	{"T1053.003", "Cron", PERSISTENCE},
	{"T1055", "Process Injection", EVASION},
	{"T1055.008", "Ptrace System Calls", EVASION},
	{"T1055.009", "Proc Memory", EVASION},
	{"T1059", "Command and Scripting Interpreter", EXECUTION},
	{"T1059.004", "Unix Shell", EXECUTION},
	{"T1068", "Exploitation for Privilege Escalation", ESCALATION},
	{"T1070", "Indicator Removal", EVASION},
	{"T1070.002", "Clear Linux or Mac System Logs", EVASION},
	{"T1070.003", "Clear Command History", EVASION},
	{"T1071", "Application Layer Protocol", CONTROL},
	{"T1071.004", "DNS", CONTROL},
	{"T1072", "Software Deployment Tools", EXECUTION},
	{"T1078", "Valid Accounts", ESCALATION},
	{"T1105", "Ingress Tool Transfer", CONTROL},
	{"T1106", "Native API", EXECUTION},
	{"T1204", "User Execution", EXECUTION},
	{"T1222", "File and Directory Permissions Modification", EVASION},
	{"T1222.002", "Linux and Mac File and Directory Permissions Modification", EVASION},
	{"T1496", "Resource Hijacking", IMPACT},
	{"T1525", "Implant Internal Image", PERSISTENCE},
	{"T1528", "Steal Application Access Token", CREDENTIALS},
	{"T1547", "Boot or Logon Autostart Execution", PERSISTENCE},
	{"T1547.006", "Kernel Modules and Extensions", PERSISTENCE},
	{"T1548", "Abuse Elevation Control Mechanism", ESCALATION},
	{"T1548.001", "Setuid and Setgid", ESCALATION},
	{"T1552", "Unsecured Credentials", CREDENTIALS},
	{"T1552.004", "Private Keys", CREDENTIALS},
	{"T1552.005", "Cloud Instance Metadata API", CREDENTIALS},
	{"T1554", "Compromise Client Software Binary", PERSISTENCE},
	{"T1562", "Impair Defenses", EVASION},
	{"T1562.001", "Disable or Modify Tools", EVASION},
	{"T1562.004", "Disable or Modify System Firewall", EVASION},
	{"T1562.006", "Indicator Blocking", EVASION},
	{"T1565", "Data Manipulation", IMPACT},
	{"T1571", "Non-Standard Port", CONTROL},
	{"T1574", "Hijack Execution Flow", PERSISTENCE},
	{"T1574.006", "Dynamic Linker Hijacking", PERSISTENCE},
	{"T1609", "Container Administration Command", EXECUTION},
	{"T1610", "Deploy Container", EXECUTION},
	{"T1611", "Escape to Host", ESCALATION},
	{"T1620", "Reflective Code Loading", EVASION},
};

#define PLAIN_LEN 5 /* of "T1059" */

bool bh_attack_find(const char *id, struct bh_attack *ret)
{
	const char *whole = NULL;

	for (size_t i = 0; i < BH_ARRAY_SIZE(techniques); i++) {
		const char *known = techniques[i].id;

		if (strlen(known) == PLAIN_LEN && !strncmp(known, id, PLAIN_LEN))
			whole = techniques[i].name;
		if (strcmp(known, id))
			continue;
		*ret = (struct bh_attack){
			.id = known, .name = techniques[i].name, .technique_name = whole};
		for (size_t k = 0; k < BH_ARRAY_SIZE(tactics); k++) {
			if (tactics[k].tactic != techniques[i].tactic)
				continue;
			ret->tactic = tactics[k].id;
			ret->tactic_name = tactics[k].name;
		}
		return whole != NULL && ret->tactic;
	}
	return false;
}

json_t *bh_attack_json(const char *id)
{
	struct bh_attack a;
	char plain[PLAIN_LEN + 1];
	json_t *j;

	if (!bh_attack_find(id, &a))
		return json_pack("{s:s, s:{s:s}}", "version", BH_ATTACK_VERSION, "technique", "uid",
				 id);
	snprintf(plain, sizeof(plain), "%s", a.id);
	j = json_pack("{s:s, s:{s:s, s:s}, s:{s:s, s:s}}", "version", BH_ATTACK_VERSION, "tactic",
		      "uid", a.tactic, "name", a.tactic_name, "technique", "uid", plain, "name",
		      a.technique_name);
	if (j && strcmp(plain, a.id))
		json_object_set_new(j, "sub_technique",
				    json_pack("{s:s, s:s}", "uid", a.id, "name", a.name));
	return j;
}
