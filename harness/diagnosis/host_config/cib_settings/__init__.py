"""Settings in Pacemaker's configuration (`cibadmin -Q`) that may not be meant, by what they are about. Pure."""
